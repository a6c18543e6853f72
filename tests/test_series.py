"""What somebody posted gets an answer: from mails to the first failing patch, and to a mail that a server took."""

from __future__ import annotations

import email
import email.policy
import json
import re
from email.message import EmailMessage

import pytest

from tests.test_cli import MACHINE, Place, place
from tests.testing import fastqemu
from tests.testing.fastqemu import BROKEN, GOOD, SMALLER, only
from tests.testing.sink import sink

TITLE = "hw/core: rework, a series"
SLOW = 600  # seconds: a loaded machine
FEW = ("--set", "bisect.min_runs=3")
Change = dict[str, str | bytes | None]


def dev(added: tuple[str, ...] | str, remark: str) -> Change:
    return {"dev.c": added if isinstance(added, str) else fastqemu.dev_c(added, remark)}


def post(world: Place, name: str, base: str, *changes: Change) -> EmailMessage:
    """Changes to a commit as their author mails them to a list, in the file `name`; their cover letter."""
    project = world.project
    project.git("checkout", "--quiet", "--detach", base)
    for number, change in enumerate(changes, 1):
        project.commit(change, f"hw/core: step {number}")
    options = ("--stdout", "--thread", "--cover-letter", "--subject-prefix=PATCH v3", "--to=list@example.org")
    text = project.git("format-patch", *options, "--cc=Someone Else <else@example.org>", base)
    project.git("checkout", "--quiet", "master")
    (world.path / name).write_text(text.replace("*** SUBJECT HERE ***", TITLE) + "\n")
    found = email.message_from_string(text.partition("\n")[2], policy=email.policy.default)
    assert isinstance(found, EmailMessage) and found["Message-ID"]
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A release, a commit with RAM of another size, and one that is good again."""
    here = place(tmp_path_factory.mktemp("series"), SMALLER, GOOD)
    config = here.path / "config.yaml"
    text = config.read_text().replace("deadline: 8s", "deadline: 60s")  # nothing here hangs
    config.write_text(text + "  send: smtp\n  domains: [example.org]\n  smtp: {tls: none}\n")
    return here


@pytest.mark.timeout(SLOW)
def test_the_third_of_four_patches_is_named_in_a_reply_to_the_cover_letter(world: Place) -> None:
    notes: list[Change] = [{"notes.txt": f"{n}\n"} for n in range(4)]
    cover = post(world, "bad.mbox", "master", notes[0], notes[1], dev(SMALLER, "posted"), notes[3])
    done = world.run("test", "master", "--apply", "bad.mbox", *MACHINE, code=1, timeout=SLOW)
    assert 'first failing: patch 3/4 ("hw/core: step 3")' in done.stdout
    assert "qemu-7.2.22 -> base    ok    1/1" in done.stdout
    assert "s0001: mail <s0001.1.series." in done.stdout and "held: approval: not approved" in done.stdout
    assert world.run("list", code=0).stdout.split() == (f"s0001 series patch 3/4: pc-i440fx-7.2 ({TITLE})".split())
    (told,) = json.loads(world.run("list", "--json", code=0).stdout)["series"]
    assert told["message_id"] == cover["Message-ID"] and told["patches"][0]["patch"] == "patch 3/4"
    shown = world.run("show", "s0001", code=0).stdout
    assert "patch 3/4" in shown and f"answers {cover['Message-ID']} of T <t@example.org>" in shown
    (report,) = json.loads(world.run("show", "s0001", "--json", code=0).stdout)["series"]["reports"]
    assert report["reproduction"]["bad_exit"] == 1 and report["reproduction"]["good_exit"] == 124
    world.run("site", "pages", code=0)
    page = (world.path / "pages" / "s0001" / "index.html").read_text()
    assert "patch 3/4" in page and "hw/core: step 3" in page
    assert "1 case with the series: 1 fail; 1 of them run on the base, too" in page
    assert "Held back by: approval: not approved by a person" in page and 'href="report.json"' in page
    for refused in (("accept", "s0001", "--owner", "a", "--until", "2999-01-01"), ("retract", "s0001")):
        assert "and no regression" in world.run(*refused, "--why", "x", code=129).stderr

    with sink() as server:
        to = ("--set", "report.smtp.host=127.0.0.1", "--set", f"report.smtp.port={server.port}")
        assert "not approved by a person" in world.run(*to, "report", "s0001", "--send", code=129).stderr
        world.run(*to, "report", "s0001", "--approve", "--send", code=0)
        world.run("site", "pages", code=0)
        assert "It was sent." in (world.path / "pages" / "s0001" / "index.html").read_text()
        assert "it is sent" in world.run(*to, "report", "s0001", "--send", code=129).stderr
    (mail,) = server.mails
    assert mail.recipients == ("t@example.org", "list@example.org")
    message = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert message["In-Reply-To"] == message["References"] == cover["Message-ID"]
    assert message["Subject"] == f"Re: [PATCH v3 0/4] {TITLE}"
    assert message["Auto-Submitted"] == "auto-replied" and "X-Migbot-Held" not in message
    text = message.get_content()
    assert 'patch 3/4 ("hw/core: step 3")' in text and "if v4 fixes it" in text and "Fixes:" not in text
    assert "10 of 10 runs fail with it, 0 of 10 before it" in text
    assert "run as printed: 1 here, 124 on patch 2/4" in text


def test_what_fails_on_the_base_too_is_not_told(world: Place) -> None:
    base = world.shas[1]
    post(world, "old.mbox", base, {"notes.txt": "a\n"})
    done = world.run("test", base, "--apply", "old.mbox", *MACHINE, code=1, timeout=SLOW)
    assert "not told about the series: pc-i440fx-7.2: the base fails, too" in done.stderr
    assert "first failing" not in done.stdout and "s0002" not in world.run("list", code=0).stdout


def test_of_a_green_series_nothing_is_written(world: Place) -> None:
    post(world, "good.mbox", "master", {"notes.txt": "a\n"}, dev(GOOD, "posted"))
    done = world.run("test", "master", "--apply", "good.mbox", *MACHINE, code=0)
    assert "first failing" not in done.stdout and "s0002" not in world.run("list", code=0).stdout
    assert "on the base" not in done.stderr  # which need not be built


def test_a_search_can_be_left_out(world: Place) -> None:
    post(world, "one.mbox", "master", dev(SMALLER, "posted, alone"))
    done = world.run("test", "master", "--apply", "one.mbox", *MACHINE, "--no-search", code=1)
    assert "first failing" not in done.stdout and "s0002" not in world.run("list", code=0).stdout
    assert "--no-search" in world.run("test", "master", *MACHINE, "--no-search", code=129).stderr


@pytest.mark.timeout(SLOW)
def test_two_machine_types_break_in_two_places_one_of_which_does_not_build(world: Place) -> None:
    post(
        world, "two.mbox", "master", dev(only("pc-i440fx-7.1", SMALLER), "1"), dev(BROKEN, ""), dev(SMALLER, "3"),
        {"notes.txt": "a\n"},
    )  # fmt: skip
    machines = ("--machine", "pc-i440fx-7.1", *MACHINE)
    done = world.run(*FEW, "test", "master", "--apply", "two.mbox", *machines, code=1, timeout=SLOW)
    assert 'first failing: patch 1/4 ("hw/core: step 1")\n  pc-i440fx-7.1\n' in done.stdout
    assert "first failing: one of patches 2 to 3/4\n" in done.stdout
    assert "2/4 hw/core: step 2 (could not be tested)" in done.stdout
    (own,) = re.findall(r"^(s\d{4}): mail ", done.stdout, re.MULTILINE)
    mail = world.run("report", own, code=0).stdout
    assert "X-Migbot-Held: base, repeats, " in mail  # three runs are too few to tell anybody
    assert "run as printed: 1 here, 124 on the base" in mail
