"""Pages of posted series: what they say, to whom nothing is said, where they lead. `test_pages.py` looks at them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.outbox import Item, State
from bot.model import Direction, Observation, Outcome, ReportSettings, Run, SeriesReport, Signature
from bot.report import posted, seriespage, site
from bot.report.seriespage import Entry
from tests.report.test_mail import NOW, SETTINGS, TEMPLATES
from tests.report.test_site import Reader, source, words
from tests.testing import series

FOUND = 1582697564.0
HELD = "Held back by: approval: not approved by a person."
FLAKE = Signature("hang", "postcopy")


def entry(report: SeriesReport, found: float = FOUND, stands: str = HELD) -> Entry:
    message, _ = posted.mail(report, settings=SETTINGS, templates=TEMPLATES, date=NOW)
    return Entry(report, found, message.as_bytes().decode(), stands)


def write(out: Path, *entries: Entry, settings: ReportSettings = SETTINGS) -> dict[str, str]:
    sources = [source(one) for one in entries]
    written = site.site(out, templates=TEMPLATES, entries=[], tips=[], settings=settings, now=NOW, series=sources)
    return {str(path.relative_to(out)): path.read_text() for path in written}


def swept() -> SeriesReport:
    """The series of one family, run in more ways than one: some cases fail as known, on the base as well, or flake."""
    report = series.suspects()
    tip, base = series.PATCHES[-1], series.BASE
    (odd,) = series.cases("ppc64", "pseries", ("5.0",))
    others = [
        replace(case, direction=Direction.SAME, baseline=None) for case in series.cases("ppc64", "pseries", series.OLD)
    ]
    known = replace(others[0], profile="virtio")
    flaky = replace(others[1], method="postcopy")
    hangs = Run(tip.sha, flaky, Observation(Outcome.HANG, FLAKE), beside=(Outcome.PASS,))
    return replace(
        report,
        compared=(*report.compared, series.run(base, odd, "other.ram"), series.run(tip, odd, "other.ram")),
        others=(*(series.run(tip, case) for case in others), series.run(tip, known, "x.ram"), hangs),
        expected=(known,),
        untold=("pseries-5.0: the base fails, too",),
    )  # fmt: skip


def test_a_page_says_what_was_posted_and_what_fails_since_which_patch(tmp_path: Path) -> None:
    pages = write(tmp_path, entry(series.series()))
    page = words(pages["s4471/index.html"])
    for said in (
        "[PATCH v6 00/79] refactor main RAM allocation to use hostmem backend", "posted by Author Name",
        "This series breaks migration", "so it is not an old failure",
        'patch 67/79 ("ppc/spapr: use memdev for RAM") pseries-2.6 ... 3.1 (9 types)',
        "10 of 10 runs fail with it, 0 of 10 before it",
        'Base master: 999999999999 ("Merge remote-tracking branch', "Patches 79, version 6",
        'destination exits 1: Unknown ramblock "pc.ram"',
        "new is the series; run as printed: 1 here, 124 on patch 66/79",
        "60 cases with the series: 15 pass, 45 fail; 60 of them run on the base, too.",
        "First failing: patch 67/79", "FAIL_DST on 007900790079 (pseries-3.1): destination.stderr",
        "Held back by: approval: not approved by a person.",
        "Not run: KVM; profile virtio.",
    ):  # fmt: skip
        assert said in page, said
    assert page.index("patch 33/79 (") < page.index("patch 38/79 (") < page.index("patch 67/79 (")
    assert "Not told about the series" not in page
    assert set(pages) >= {f"s4471/{name}" for name in ("index.html", "report.json", "mail.eml")}
    assert (tmp_path / "s4471" / "mail.eml").read_bytes().decode() == entry(series.series()).eml


def test_several_suspects_are_told_as_such(tmp_path: Path) -> None:
    page = words(write(tmp_path, entry(series.suspects()))["s4471/index.html"])
    assert "one of patches 65 to 67/79 65/79 machine: step 65 (could not be tested)" in page


def test_every_case_that_was_run_is_there_and_whose_fault_it_is(tmp_path: Path) -> None:
    rows = [(row.base, row.series, row.pair, row.machines, row.way) for row in seriespage.rows(swept())]
    spapr = ("FAIL", "FAIL_DST ramblock ppc_spapr.ram")
    other = ("FAIL", "FAIL_DST ramblock other.ram")
    flaky = ("flaky", "HANG hang postcopy, in 1 of 2 runs")
    assert rows == [
        (("ok", ""), spapr, "v4.2.0 -> commit", "pseries-2.6 ... 3.1 (9 types)", "mem-path"),
        (other, other, "v4.2.0 -> commit", "pseries-5.0", "mem-path"),
        (("", ""), flaky, "commit -> commit", "pseries-2.7", "mem-path by postcopy"),
        (("", ""), ("known", "FAIL_DST ramblock x.ram"), "commit -> commit", "pseries-2.6", "virtio"),
        (("ok", ""), ("ok", ""), "v4.2.0 -> commit", "pseries-4.0 ... 4.2 (3 types)", "mem-path"),
        (("", ""), ("ok", ""), "commit -> commit", "pseries-2.6 ... 3.1 (9 types)", "mem-path"),
    ]  # fmt: skip
    page = words(write(tmp_path, entry(swept()))["s4471/index.html"])
    told = "24 cases with the series: 12 pass, 10 fail, 1 flaky, 1 fail as expected; 13 of them run on the base, too."
    assert told in page
    assert "Not told about the series pseries-5.0: the base fails, too" in page


def test_several_targets_are_told_apart() -> None:
    found = [row.machines for row in seriespage.rows(series.series())]
    assert "ppc64: pseries-2.6 ... 3.1 (9 types)" in found and "aarch64: virt-4.0 ... 4.2 (3 types)" in found


# -- where it is and where it leads --------------------------------------------------------------------------------


def test_the_index_lists_the_newest_first(tmp_path: Path) -> None:
    old, new = entry(series.series()), entry(replace(series.suspects(), id="s4472"), FOUND + 86400)
    pages = write(tmp_path, old, new)
    index = words(pages["index.html"])
    assert index.index("s4472, posted by Author Name, found 2020-02-27") < index.index("s4471, posted by Author Name")
    assert "patch 67/79: pseries-2.6 ... 3.1 (9 types)" in index
    told = json.loads(pages["index.json"])["series"]
    assert [(one["id"], one["found"]) for one in told] == [
        ("s4472", "2020-02-27T06:12:44Z"), ("s4471", "2020-02-26T06:12:44Z")
    ]  # fmt: skip
    assert told[1]["author"] == "Author Name" and told[1]["message_id"] == series.ORIGIN.message_id
    assert told[1]["patches"][3] == {"patch": "patch 67/79", "machines": "pseries-2.6 ... 3.1 (9 types)"}
    for one in told:
        assert json.loads(pages[one["json"]])["series"]["id"] == one["id"] and one["page"] in pages
    assert "Posted series" not in words(write(tmp_path)["index.html"])
    assert not (tmp_path / "s4471").exists()


@pytest.mark.parametrize(
    ("message_id", "settings", "link"),
    [
        ("<a.b-1@example.org>", SETTINGS, "https://lore.kernel.org/qemu-devel/a.b-1@example.org/"),
        ("<a/b?c#d%+&e@example.org>", SETTINGS, "https://lore.kernel.org/qemu-devel/a%2Fb%3Fc%23d%25%2B%26e@example.org/"),
        ("<x@y.org>", replace(SETTINGS, archive="https://a.example.org/m/"), "https://a.example.org/m/x@y.org/"),
        ("<x@y.org>", replace(SETTINGS, lists=("qemu-devel@nongnu.org", "rev2@example.org")), "https://lore.kernel.org/qemu-devel/x@y.org/"),
        ("<x@y.org>", replace(SETTINGS, lists=("rev2@example.org",)), ""),
        ("", SETTINGS, ""),
        ("<a b@c>", SETTINGS, ""),
        ("<javascript:x>", SETTINGS, ""),
    ],
)  # fmt: skip
def test_the_mail_is_linked_where_an_archive_has_it(
    tmp_path: Path, message_id: str, settings: ReportSettings, link: str
) -> None:
    report = replace(series.suspects(), origin=replace(series.ORIGIN, message_id=message_id))
    page = write(tmp_path, Entry(report, FOUND), settings=settings)["s4471/index.html"]
    assert [to for to in Reader(page).links if "://" in to] == ([link] if link else [])
    assert ("It had no Message-ID." in words(page)) is (message_id in ("", "<a b@c>", "<javascript:x>"))


def test_an_archive_of_another_list_has_it_not(tmp_path: Path) -> None:
    elsewhere = replace(series.ORIGIN, to="rev2@example.org")
    settings = replace(SETTINGS, lists=("qemu-devel@nongnu.org", "rev2@example.org"))
    page = write(tmp_path, entry(replace(series.suspects(), origin=elsewhere)), settings=settings)["s4471/index.html"]
    assert not [to for to in Reader(page).links if "://" in to]
    assert series.ORIGIN.message_id.strip("<>") in words(page)


# -- to whom nothing is said ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["", "Ann <ann@example.org>", "secalert@example.org, qemu-devel@nongnu.org.example.org"])
def test_what_was_posted_to_no_list_is_on_no_page(tmp_path: Path, to: str) -> None:
    public = entry(replace(series.suspects(), id="s4470"))
    hidden = entry(replace(series.suspects(), origin=replace(series.ORIGIN, to=to, subject="[PATCH] a secret")))
    pages = write(tmp_path, public, hidden)
    assert not [path for path in pages if path.startswith("s4471")] and not (tmp_path / "s4471").exists()
    assert "1 more was posted to none of the lists, and is not shown." in words(pages["index.html"])
    assert [one["id"] for one in json.loads(pages["index.json"])["series"]] == ["s4470"]
    assert "a secret" not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_a_page_goes_when_its_list_is_none_of_ours_any_more(tmp_path: Path) -> None:
    assert "s4471/index.html" in write(tmp_path, entry(series.suspects()))
    pages = write(tmp_path, entry(series.suspects()), settings=replace(SETTINGS, lists=("other@example.org",)))
    assert "s4471/index.html" not in pages and not (tmp_path / "s4471").exists()
    assert "1 more was posted to none of the lists" in words(pages["index.html"])


def test_no_address_is_beside_a_name(tmp_path: Path) -> None:
    """As on pages of regressions, addresses are in the mail and in the JSON alone."""
    page = write(tmp_path, Entry(series.suspects(), FOUND))["s4471/index.html"]
    assert "Author Name" in page and "<author@example.org>" not in words(page)
    nameless = replace(series.suspects(), origin=replace(series.ORIGIN, sender="someone@example.org"))
    pages = write(tmp_path, Entry(nameless, FOUND))
    assert "posted by someone," in words(pages["s4471/index.html"])
    assert "someone@example.org" not in pages["s4471/index.html"] + pages["index.html"] + pages["index.json"]


ITEM = Item("s4471", "series", "<x@y>", "mail", "0" * 64)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (None, ""),
        (replace(ITEM, held=("approval: no", "base: ran 3 times")), "Held back by: approval: no; base: ran 3 times."),
        (replace(ITEM, held=("approval: no", "person: he is a fool")), "Held back by: approval: no; a person."),
        (replace(ITEM, state=State.QUEUED), "It waits to be sent."),
        (replace(ITEM, state=State.SENT, said="250 queued as 1 at mx.example.org"), "It was sent."),
        (replace(ITEM, state=State.SENT, test=True), "It went to the operator, for a trial."),
        (replace(ITEM, state=State.UNKNOWN), "It may have gone out: the mail server's answer was lost."),
    ],
)
def test_where_its_mail_stands(item: Item | None, said: str) -> None:
    assert seriespage.stands(item) == said


def test_every_state_of_a_mail_has_words() -> None:
    assert all(seriespage.stands(replace(ITEM, state=state)) for state in State)


# -- made once -----------------------------------------------------------------------------------------------------


def test_it_is_read_and_written_only_when_it_changed(tmp_path: Path) -> None:
    reads: list[str] = []

    def make(stands: str) -> int:
        of = entry(series.suspects(), stands=stands)

        def load() -> Entry:
            reads.append(stands)
            return of

        one = replace(source(of), load=load)
        site.site(tmp_path, templates=TEMPLATES, entries=[], tips=[], settings=SETTINGS, now=NOW, series=[one])
        return (tmp_path / "s4471" / "index.html").stat().st_ino

    first = make("held")
    assert make("held") == first != make("sent")
    assert reads == ["held", "sent"]
