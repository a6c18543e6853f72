"""Which thread a mail joins: from trailers as QEMU's history has them to the header lines that a mail server gets.

Trailers are quoted from real commits, one or two of each form that there is; see docs/architecture.md for how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.trailers import message_ids
from bot.model import Report
from bot.report.deliver import as_text
from bot.report.post.addressing import letter
from tests.report.test_follow import CURE, followed
from tests.report.test_mail import mail
from tests.report.test_post import POST
from tests.testing import reports

HISTORY = {
    # commit: its trailers, the mail that is answered
    "806315279d5c": (
        "Message-ID: <20241020012953.1380075-9-jrossi@linux.ibm.com>",
        "20241020012953.1380075-9-jrossi@linux.ibm.com",
    ),
    "d4d5212c541f": (
        "Message-Id: <20241014121902.2146424-8-Jonathan.Cameron@huawei.com>",
        "20241014121902.2146424-8-Jonathan.Cameron@huawei.com",
    ),
    "48111f7e7266": (
        "Message-id: 20250926070806.292065-35-luc.michel@amd.com",
        "20250926070806.292065-35-luc.michel@amd.com",
    ),
    "e8b609ac3598": (
        "Message-Id: 20241024-strace-v1-1-56c4161431cd@gmx.net",
        "20241024-strace-v1-1-56c4161431cd@gmx.net",
    ),
    "13d885b0ad4a": (
        "Message-id: <20230822175127.1173698-1-richard.henderson@linaro.org>",
        "20230822175127.1173698-1-richard.henderson@linaro.org",
    ),
    # a slash, and a host without a dot
    "2a23f0f11896": ("Message-Id: <ZU6F/H8CZr3q4pP/@p100>", "ZU6F/H8CZr3q4pP/@p100"),
    # longer than a line of a header should be
    "9253773cb7ff": (
        "Message-Id: <PA4PR09MB486489692D843DDFC25F3CF1846B2@PA4PR09MB4864.eurprd09.prod.outlook.com>",
        "PA4PR09MB486489692D843DDFC25F3CF1846B2@PA4PR09MB4864.eurprd09.prod.outlook.com",
    ),
    # posted by the author, then by a maintainer: the last one
    "feb49fa79bdb": (
        "Message-ID: <20250822150058.18692-9-pierrick.bouvier@linaro.org>\n"
        "Message-ID: <20250922093711.2768983-12-alex.bennee@linaro.org>",
        "20250922093711.2768983-12-alex.bennee@linaro.org",
    ),
    "399e5e712534": (
        "Message-id: 20230829232335.965414-6-richard.henderson@linaro.org\n"
        "Message-Id: <20230609172324.982888-4-aaron@os.amperecomputing.com>",
        "20230609172324.982888-4-aaron@os.amperecomputing.com",
    ),
    # one that is mangled, beside a whole one
    "3bd8359379c8": (
        "Message-Id: <2c74c3696946edba7cc5b2942cf296a5af532052.1689070412.git.quic_mathbern@quicinc.com>-ne\n"
        "Message-Id: <20231008220945.983643-2-bcain@quicinc.com>",
        "20231008220945.983643-2-bcain@quicinc.com",
    ),
    # a link beside an id: the id
    "319ca84949fc": (
        "Link: https://lore.kernel.org/qemu-devel/20250731144019.1403591-1-clg@redhat.com\n"
        "Message-ID: <20250901064631.530723-2-clg@redhat.com>",
        "20250901064631.530723-2-clg@redhat.com",
    ),
    "734e7b73dfcb": (
        "Message-ID: <20240222152835.72095-3-philmd@linaro.org>\n"
        "Link: https://lore.kernel.org/r/20240304134532.28506-3-kkostiuk@redhat.com",
        "20240222152835.72095-3-philmd@linaro.org",
    ),
    # links alone, of several the last
    "fff99a88be34": (
        "Link: https://lore.kernel.org/r/20250414144943.1112885-3-zhao1.liu@intel.com",
        "20250414144943.1112885-3-zhao1.liu@intel.com",
    ),
    "e82d8af3da05": (
        "Link: https://lore.kernel.org/qemu-devel/20260210201344.1403613-5-pierrick.bouvier@linaro.org",
        "20260210201344.1403613-5-pierrick.bouvier@linaro.org",
    ),
    "69345f948ab6": (
        "Link: https://lore.kernel.org/r/20250429140306.190384-6-marcandre.lureau@redhat.com\n"
        "Link: https://lore.kernel.org/r/20260108230311.584141-6-csomani@redhat.com",
        "20260108230311.584141-6-csomani@redhat.com",
    ),
    # escaped, for it has a slash
    "0e6b20b96561": (
        "Link: https://lore.kernel.org/qemu-devel/ZEpKXncC%2Fe6FKRe9@redhat.com/",
        "ZEpKXncC/e6FKRe9@redhat.com",
    ),
    # the view of a thread, beside the patch's own
    "7afbdada7eff": (
        "Link: https://lore.kernel.org/all/9aa5d1be-7801-40dd-83fd-f7e041ced249@intel.com/T/\n"
        "Link: https://lore.kernel.org/r/20240405034056.23933-1-wei.w.wang@intel.com",
        "20240405034056.23933-1-wei.w.wang@intel.com",
    ),
    # an archive that knows no Message-IDs, and a mention in the text: a thread of its own
    "931150e56b05": ("Link: https://lists.gnu.org/archive/html/qemu-devel/2023-08/msg02726.html", None),
    "94aa1a0e3006": ("https://patchew.org/QEMU/20241112120100.176492-2-frolov@swemel.ru/", None),
    "bfe0f6b02a4d": ("https://lore.kernel.org/all/20240701145853.1394967-5-pbonzini@redhat.com/", None),
    "none": ("Reviewed-by: Peter Xu <peterx@redhat.com>", None),
}
MADE = {
    # forms that other histories have
    "patchew": ("Link: https://patchew.org/QEMU/20200219160953.1-2-a@example.org/", "20200219160953.1-2-a@example.org"),
    "a view": ("Link: https://lore.kernel.org/qemu-devel/a.1@example.org/T/#u", "a.1@example.org"),
    "a place in a view": ("Link: https://lore.kernel.org/qemu-devel/a.1@example.org/t/#m1c7f", "a.1@example.org"),
    "as it was sent": ("Link: https://lore.kernel.org/qemu-devel/a.1@example.org/raw", "a.1@example.org"),
    "escaped": ("Link: https://lore.kernel.org/r/a%2B1%40example.org", "a+1@example.org"),
    "a second header, escaped": ("Link: https://lore.kernel.org/r/a%0d%0aBcc:%20b@example.org", None),
    "a second header, as a word": ("Message-Id: <=?utf-8?q?x=0d=0aBcc:_a?=@example.org>", None),
    "two at signs": ("Message-Id: <a@b@example.org>", None),
}
CASES = {**HISTORY, **MADE}


def report(trailers: str) -> Report:
    """One whose culprit's message ends in these."""
    body = f"Explain.\n\nSigned-off-by: Author Name <author@example.org>\n{trailers}\n"
    return replace(reports.first_bad(), culprit=replace(reports.CULPRIT, body=body), releases=())


def headers(data: bytes) -> Iterator[tuple[str, str]]:
    """The header fields as they stand in a mail, unfolded and in no way decoded."""
    head = data.partition(b"\r\n\r\n")[0].decode("ascii")
    for field in head.replace("\r\n ", " ").split("\r\n"):
        name, _, value = field.partition(":")
        yield name, value.strip()


def at(days: float) -> datetime:
    """So long after the patch was posted."""
    return datetime.fromisoformat(reports.CULPRIT.date) + timedelta(days=days)


@pytest.mark.parametrize(("trailers", "answered"), CASES.values(), ids=CASES)
def test_a_report_answers_the_patch_as_its_trailers_name_it(trailers: str, answered: str | None) -> None:
    text = as_text(mail(report(trailers), date=at(10)))
    for data in (text.encode(), letter(text, POST, at(11)).data):  # as it is written, and as it goes out
        found = dict(headers(data))
        assert found.get("In-Reply-To") == found.get("References") == (None if answered is None else f"<{answered}>")
        assert "Bcc" not in found and len(found) == len(list(headers(data)))


@pytest.mark.parametrize(("age", "releases"), [(91, ()), (10, ("v5.0.0",)), (10, None)])
def test_an_old_or_released_patch_is_left_alone(age: int, releases: tuple[str, ...] | None) -> None:
    """And so is one of which it is not known whether it was released."""
    old = replace(report(HISTORY["806315279d5c"][0]), releases=releases)
    found = dict(headers(mail(old, date=at(age)).as_bytes()))
    assert "In-Reply-To" not in found and "References" not in found


@pytest.mark.parametrize("name", ["806315279d5c", "9253773cb7ff", "none"])
def test_what_follows_stands_under_our_first_report(name: str) -> None:
    """And, with the report, under the patch that it answers (RFC 5322, 3.6.4)."""
    trailers, answered = HISTORY[name]
    first = report(trailers)
    own = str(mail(first, date=at(10))["Message-ID"])
    found = dict(headers(followed(CURE, report=first, date=at(10)).as_bytes()))
    assert found["In-Reply-To"] == own
    assert found["References"].split() == [*([f"<{answered}>"] if answered else []), own]


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"[A-Za-z0-9._+/=-]{1,120}@[A-Za-z0-9.-]{1,70}", fullmatch=True))
def test_any_message_id_is_written_as_it_is(text: str) -> None:
    found = dict(headers(mail(report(f"Message-ID: <{text}>"), date=at(1)).as_bytes()))
    assert message_ids(f"x\n\nMessage-ID: <{text}>\n") == (text,)
    assert found["In-Reply-To"] == found["References"] == f"<{text}>"
