"""A regression followed to its end: `bot run` on real git, real QEMU and a real mail server, cycle after cycle."""

from __future__ import annotations

import email
import email.policy
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest

from bot.core.lifecycle import (
    Accepted,
    Claimed,
    Cured,
    Expired,
    Partly,
    Refuted,
    Reopened,
    State,
    Surveyed,
    Unnamed,
    Way,
)
from bot.core.outbox import State as Sending
from bot.store.store import Entry, Store
from tests.test_cli import BOT, Place, environment, place, until
from tests.testing import fastqemu
from tests.testing.fastqemu import BROKEN, GOOD, SMALLER
from tests.testing.kept import Kept
from tests.testing.sink import Received, Sink, sink

pytestmark = pytest.mark.timeout(600)
SUBJECT = "hw/core: make it smaller"


class Life:
    """A place whose reports go out, by approval."""

    seconds = 400.0  # that a cycle may take

    def __init__(self, here: Place, server: Sink) -> None:
        self.here, self.server = here, server

    def cycle(self, code: int = 0) -> str:
        """One cycle of the watch; what it said."""
        port = ("--set", f"report.smtp.port={self.server.port}", "--set", "bisect.min_runs=10")
        done = self.here.run(*port, "run", "--once", code=code, timeout=self.seconds)
        return done.stdout + done.stderr

    def commit(self, added: tuple[str, ...], subject: str, remark: str = "") -> str:
        return self.here.project.commit({"dev.c": fastqemu.dev_c(added, remark)}, subject)

    def broken(self) -> str:
        """The culprit of a regression that is found now."""
        culprit = self.commit(SMALLER, SUBJECT)
        self.cycle(10)
        return culprit

    def send(self) -> EmailMessage:
        """Approve what waits about r0001, and have it sent; the mail as it arrived."""
        before = len(self.server.mails)
        port = ("--set", f"report.smtp.port={self.server.port}")
        self.here.run(*port, "report", "r0001", "--approve", "--send", code=0)
        (taken,) = self.server.mails[before:]
        return parsed(taken)

    def reported(self) -> tuple[str, EmailMessage]:
        """(culprit, report) of a regression that people were told of."""
        culprit = self.broken()
        return culprit, self.send()

    @property
    def store(self) -> Store:
        return Store(self.here.path / "work")

    def entry(self, name: str = "r0001") -> Entry:
        return self.store.regressions(name)[0]

    def kinds(self) -> list[str]:
        """The kinds of mail in the outbox, in the order they were put there."""
        return [item.kind for item in self.store.outbox.items()]


def parsed(mail: Received) -> EmailMessage:
    found = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


@dataclass(frozen=True)
class Begun:
    """A place after its first look, and after a regression was found there and told."""

    here: Place
    looked: Kept
    told: Kept
    culprit: str
    mail: Received


Told = tuple[Life, str, EmailMessage]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    with sink() as server:
        here = place(tmp_path_factory.mktemp("life") / "here", GOOD)
        config = here.path / "config.yaml"
        more = "  send: smtp\n  domains: [example.org]\n  smtp: {tls: none, host: 127.0.0.1}\n"
        config.write_text(config.read_text() + more)
        made = Life(here, server)
        made.cycle()
        looked = Kept(here.path, "looked")
        culprit, _ = made.reported()
        return Begun(here, looked, Kept(here.path, "told"), culprit, server.mails[-1])


@pytest.fixture
def life(begun: Begun) -> Iterator[Life]:
    """After its first look."""
    begun.looked.back()
    with sink() as server:
        yield Life(begun.here, server)


@pytest.fixture
def told(begun: Begun) -> Iterator[Told]:
    """With a regression that people were told of: its culprit, and the report."""
    begun.told.back()
    with sink() as server:
        server.mails.append(begun.mail)
        yield Life(begun.here, server), begun.culprit, parsed(begun.mail)


def test_a_fix_that_names_the_culprit_is_run_and_told_once(told: Told) -> None:
    life, culprit, report = told
    life.here.project.commit({"VERSION": "8.0.0\n"}, "Update version for 8.0.0 release")
    fix = life.commit(GOOD, f'hw/core: make it as large again\n\nFixes: {culprit[:12]} ("{SUBJECT}")\n')
    life.commit(GOOD, "hw/core: another", "more")
    said = life.cycle()
    entry = life.entry()
    claimed, cured = (happened.event for happened in entry.record.history)
    assert claimed == Claimed(fix, f"Fixes: {culprit[:12]}")
    assert isinstance(cured, Cured) and (cured.commit, cured.way) == (fix, Way.NAMED)
    assert [(t.bad, t.n) for t in cured.parents] == [(10, 10)] and (cured.fix.bad, cured.tip.bad) == (0, 0)
    assert entry.state is State.FIXED
    assert "searching what cured it" not in said
    assert life.kinds() == ["report", "fixed"]
    life.cycle()
    assert life.kinds() == ["report", "fixed"]
    mail = life.send()
    assert mail["In-Reply-To"] == report["Message-ID"]
    assert mail["Message-ID"].startswith("<r0001.2.fixed.")
    text = " ".join(mail.get_content().split())
    assert f"Fixed in master by {fix[:12]}" in text
    assert "on its parent 10 of 10, with it 0 of 10" in text
    stays = "Guests that v8.0.0 started still fail to get to the tip, which has it: 3 of 3 runs fail."
    assert f"Released without the fix: v8.0.0. {stays}" in text
    assert {run.case.baseline for run in life.store.runs()} == {None, "debian"}, "the release is no baseline"
    assert len(life.server.mails) == 2


def test_a_fix_that_says_nothing_is_found_by_a_search(told: Told) -> None:
    life, _, _ = told
    life.commit(SMALLER, "hw/core: nothing", "1")
    fix = life.commit(GOOD, "hw/core: rework")
    life.commit(GOOD, "hw/core: nothing", "2")
    said = life.cycle()
    assert "searching what cured it" in said
    (cured,) = (happened.event for happened in life.entry().record.history)
    assert isinstance(cured, Cured) and (cured.commit, cured.way) == (fix, Way.SEARCHED)
    assert life.kinds() == ["report", "fixed"]


def test_a_fix_that_cures_nothing_is_told_to_nobody(told: Told) -> None:
    life, culprit, _ = told
    wrong = life.commit(SMALLER, f"hw/core: try\n\nFixes: {culprit[:12]}\n", "wrong")
    life.cycle()
    entry = life.entry()
    assert [type(happened.event) for happened in entry.record.history] == [Claimed, Refuted]
    assert entry.state is State.OPEN
    assert entry.record.refuted == (wrong,)
    revert = life.commit(GOOD, f'Revert "{SUBJECT}"\n\nThis reverts commit {culprit}.\n')
    life.cycle()
    record = life.entry().record
    assert record.state is State.FIXED and record.cure is not None and record.cure.commit == revert
    assert life.kinds() == ["report", "fixed"]


def test_a_claim_that_is_not_the_cure_does_not_get_the_credit(told: Told) -> None:
    life, culprit, _ = told
    wrong = life.commit(SMALLER, f"hw/core: try\n\nFixes: {culprit[:12]}\n", "wrong")
    right = life.commit(GOOD, "hw/core: rework")
    life.cycle()
    record = life.entry().record
    assert [type(happened.event) for happened in record.history] == [Claimed, Refuted, Cured]
    assert record.refuted == (wrong,)
    assert record.cure is not None and record.cure.commit == right


def test_a_fix_on_another_branch_is_posted_and_merged_it_is_run(told: Told) -> None:
    life, culprit, _ = told
    git = life.here.project.git
    git("checkout", "--quiet", "-b", "topic")
    fix = life.commit(GOOD, f"hw/core: mend\n\nFixes: {culprit[:12]}\n")
    git("checkout", "--quiet", "master")
    life.here.project.commit({"docs/other.rst": "x\n"}, "docs: other")
    life.cycle()
    entry = life.entry()
    assert (entry.state, entry.record.claims) == (State.POSTED, (fix,))
    listed = life.here.run("list", "--state", "fix posted", code=0).stdout
    assert f"({fix[:12]}, not run yet)" in listed
    assert life.kinds() == ["report"]
    git("merge", "--quiet", "--no-ff", "-m", "Merge topic", "topic")
    life.cycle()
    record = life.entry().record
    assert record.state is State.FIXED and record.cure is not None
    assert (record.cure.commit, record.cure.way) == (fix, Way.NAMED)


def test_a_fix_that_no_search_names_is_noted_once(told: Told) -> None:
    """The commit before it does not build, so that either may be it."""
    life, _, _ = told
    life.here.project.commit({"dev.c": BROKEN}, "hw/core: rework, first half")
    life.commit(GOOD, "hw/core: rework, second half")
    assert "searching what cured it" in life.cycle()
    entry = life.entry()
    (unnamed,) = (happened.event for happened in entry.record.history)
    assert isinstance(unnamed, Unnamed) and unnamed.tip.n == 10
    assert entry.state is State.OPEN
    life.commit(GOOD, "hw/core: nothing", "1")
    assert "searching what cured it" not in life.cycle()
    assert life.kinds() == ["report"]
    assert "no fix was found" in life.here.run("list", code=0).stdout


def test_a_partial_cure_is_noted_and_told_to_nobody(told: Told) -> None:
    life, _, _ = told
    half = life.commit(fastqemu.only("pc-i440fx-7.2", SMALLER), "hw/core: mend some")
    life.cycle()
    (event,) = (happened.event for happened in life.entry().record.history)
    assert isinstance(event, Partly) and event.tip == half
    assert {case.split("/")[1] for case in event.failing} == {"pc-i440fx-7.2"}
    assert len(event.passing) + len(event.failing) == len(life.entry().regression.cases)
    shown = life.here.run("show", "r0001", code=0).stdout
    assert f"at {half[:12]} {len(event.passing)} cases (" in shown
    page = (life.here.path / "out" / "r0001" / "index.html").read_text()
    assert f"{len(event.passing)} of {len(life.entry().regression.cases)} cases pass" in page
    life.commit(fastqemu.only("pc-i440fx-7.2", SMALLER), "hw/core: nothing", "1")
    life.cycle()
    assert len(life.entry().record.history) == 1, "once a change"
    assert life.kinds() == ["report"] and life.entry().state is State.OPEN


def test_what_was_never_reported_is_followed_and_told_to_nobody(life: Life) -> None:
    culprit = life.broken()
    life.commit(GOOD, f"hw/core: mend\n\nFixes: {culprit[:12]}\n")
    life.cycle()
    assert life.entry().state is State.FIXED
    (item,) = life.store.outbox.items()
    assert item.state is Sending.HELD and item.held[-1].startswith("superseded: it is fixed by")
    approved = life.here.run("report", "r0001", "--approve", "--send")
    assert approved.returncode == 129 and "superseded" in approved.stderr
    assert life.server.mails == []


def test_it_fails_again_and_is_searched_since_the_fix(told: Told) -> None:
    life, culprit, report = told
    fix = life.commit(GOOD, f"hw/core: mend\n\nFixes: {culprit[:12]}\n")
    life.cycle()
    life.send()
    life.commit(GOOD, "hw/core: nothing", "1")
    again = life.commit(SMALLER, "hw/core: make it smaller after all")
    said = life.cycle(10)
    assert f"first bad commit: {again[:12]}" in said
    (entry,) = life.store.regressions()
    event = entry.record.history[-1].event
    assert isinstance(event, Reopened) and event.good == fix
    assert entry.state is State.REOPENED and entry.finding == "first-bad"
    assert life.kinds() == ["report", "fixed", "reopened", "report"]
    mail = life.send()
    assert mail["Message-ID"].startswith("<r0001.4.report.")
    assert mail["In-Reply-To"] == report["Message-ID"]
    assert f"Fixes: {again[:12]}" in mail.get_content()
    waiting = life.store.outbox.items()[2]
    assert waiting.held[-1].startswith("superseded"), "the search has an answer: one mail says both"


@pytest.mark.parametrize("when", ["which says that it cures it", "r0001: fixed: fixed by"])
def test_killed_on_the_way_nothing_is_lost_and_nothing_is_told_twice(told: Told, tmp_path: Path, when: str) -> None:
    """kill -9 while the fix is run, and when it is noted: the next cycle goes on from what was recorded."""
    life, culprit, _ = told
    life.commit(GOOD, f"hw/core: mend\n\nFixes: {culprit[:12]}\n")
    said = tmp_path / "said"
    argv = [*BOT, "-C", "work", "--set", f"report.smtp.port={life.server.port}", "--set", "bisect.min_runs=10"]
    with said.open("w") as out:
        process = subprocess.Popen(
            [*argv, "run", "--once"], cwd=life.here.path, env=environment(), stdout=out, stderr=out
        )
    until(said, when)
    process.send_signal(signal.SIGKILL)
    process.wait()
    life.cycle()
    assert life.entry().state is State.FIXED
    assert [type(happened.event) for happened in life.entry().record.history] == [Claimed, Cured]
    assert life.kinds() == ["report", "fixed"]
    life.send()
    assert len(life.server.mails) == 2


# -- what a person decides ------------------------------------------------------------------------------------------


def test_what_is_accepted_is_no_news_until_the_day_and_then_asked_again(told: Told) -> None:
    life, _, report = told
    wish = ("accept", "r0001", "--owner", "Ann <ann@example.org>", "--why", "too old")
    assert "not a day" in life.here.run(*wish, "--until", "soon", code=129).stderr
    assert "has passed" in life.here.run(*wish, "--until", "2020-01-01", code=129).stderr
    answer = life.here.run(*wish, "--until", "2999-12-31", code=0).stdout
    assert "r0001: accepted: accepted until 2999-12-31 by " in answer
    life.commit(SMALLER, "hw/core: nothing", "1")
    said = life.cycle()
    assert "expected" in said and "r0001" in said, "the summary counts it among what is known"
    assert "accepted" in life.here.run("list", "--state", "accepted", code=0).stdout
    assert "no regression is in that state" in life.here.run("list", "--state", "open", code=0).stdout
    past = Accepted("Ann <ann@example.org>", "2020-01-01", "too old", "bob")  # as if the day had come
    assert life.store.happened("r0001", past, life.entry().record) is not None
    life.cycle()
    entry = life.entry()
    expired = entry.record.history[-1].event
    assert isinstance(expired, Expired) and expired.tip == life.here.project.git("rev-parse", "HEAD")
    assert entry.state is State.OPEN
    assert life.kinds() == ["report", "expired"]
    mail = life.send()
    assert mail["To"] == "Ann <ann@example.org>" and mail["In-Reply-To"] == report["Message-ID"]
    life.cycle()
    assert len(life.entry().record.history) == 3


def test_what_is_retracted_is_told_and_not_reported_again(told: Told) -> None:
    life, _, report = told
    wish = ("retract", "r0001", "--why", "Its parent fails, too.")
    answer = life.here.run(*wish, code=0).stdout
    assert "r0001: retracted: retracted by " in answer and "held: approval" in answer
    assert "it is retracted already" in life.here.run(*wish, code=129).stderr
    mail = life.send()
    assert mail["In-Reply-To"] == report["Message-ID"] and "(retracted)" in mail["Subject"]
    assert "Its parent fails, too." in mail.get_content()
    life.cycle()
    life.commit(SMALLER, "hw/core: nothing", "1")
    life.cycle()
    life.commit(GOOD, "hw/core: rework")
    life.cycle()
    assert len(life.store.regressions()) == 1
    assert life.kinds() == ["report", "retract"]
    shown = life.here.run("show", "r0001", code=0).stdout
    assert "UTC  retracted by" in shown
    page = (life.here.path / "out" / "r0001" / "index.html").read_text()
    assert "What happened" in page and "Its parent fails, too." in page.replace('<span class="tied">', "")


# -- stable branches -----------------------------------------------------------------------------------------------


def stable(life: Life) -> None:
    """A stable branch that has what master has now is watched from here on."""
    config = life.here.path / "config.yaml"
    config.write_text(config.read_text().replace("  stable: 0", "  stable: 2"))
    life.here.project.git("branch", "stable-7.2")


def on_stable(life: Life, *args: str) -> str:
    """git on the stable branch; the commit that it has then."""
    git = life.here.project.git
    git("checkout", "--quiet", "stable-7.2")
    git(*args)
    sha = git("rev-parse", "HEAD")
    git("checkout", "--quiet", "master")
    return sha


def test_a_stable_branch_is_asked_for_the_fix_and_has_it_then(told: Told) -> None:
    life, culprit, report = told
    stable(life)
    fix = life.commit(GOOD, f"hw/core: mend\n\nFixes: {culprit[:12]}\n")
    said = life.cycle()
    assert len(life.store.regressions()) == 1, "what the stable branch has is no news"
    assert "picking" in said
    record = life.entry().record
    surveyed = record.history[-1].event
    assert isinstance(surveyed, Surveyed)
    (standing,) = surveyed.branches
    assert (standing.culprit, standing.fix, standing.pick) == (culprit, None, "ok")
    assert record.state is State.FIXED
    assert [kind for kind in life.kinds() if kind in ("fixed", "stable")] == ["fixed", "stable"]
    mail = life.send()
    assert mail["In-Reply-To"] == report["Message-ID"]
    assert f"git cherry-pick -x {fix[:12]}" in mail.get_content()
    life.cycle()
    assert life.entry().record == record
    pick = on_stable(life, "cherry-pick", "-x", fix)
    life.cycle()
    record = life.entry().record
    assert record.state is State.STABLE
    assert (record.branches[0].fix, record.branches[0].runs is not None) == (pick, True)
    assert life.send()["Message-ID"].startswith("<r0001.4.fixed-in-stable.")


def test_a_fix_that_needs_what_its_series_brought_before_is_picked_with_it(told: Told) -> None:
    life, culprit, _ = told
    stable(life)
    posted = "Message-Id: <20240101120000.4711-{}-ann@example.org>"
    first = life.commit(SMALLER, f"hw/core: first half\n\n{posted.format(2)}\n", "first half")
    said = f"Fixes: {culprit[:12]}\n{posted.format(3)}"
    fix = life.commit(GOOD, f"hw/core: second half\n\n{said}\n", "second half")
    life.cycle()
    (standing,) = life.entry().record.branches
    assert (standing.pick, standing.before) == ("ok", (first,)), "alone it does not apply"
    text = " ".join(life.send().get_content().split())
    assert f'applies clean, builds and passes after {first[:12]} ("hw/core: first half"), of its series.' in text
    assert f"git cherry-pick -x {first[:12]} {fix[:12]} # on stable-7.2" in text


def test_a_stable_branch_that_picked_the_culprit_without_its_fix_is_told_so(life: Life) -> None:
    """Master never failed where anybody looked: the fix came with the culprit. The branch took the one alone."""
    stable(life)
    culprit = life.commit(SMALLER, SUBJECT)
    fix = life.commit(GOOD, f"hw/core: mend\n\nFixes: {culprit[:12]}\n")
    life.cycle()
    pick = on_stable(life, "cherry-pick", "-x", culprit)
    said = life.cycle(10)
    assert f"picking {fix[:12]} onto stable-7.2" in said
    entry = life.entry()
    assert entry.regression.branch == "stable-7.2"
    text = " ".join(life.send().get_content().split())
    assert f'Since {pick[:12]} ("{SUBJECT}") stable-7.2 no longer loads' in text
    assert f"stable-7.2 lacks the fix, {fix[:12]}" in text and f"git cherry-pick -x {fix[:12]} # on stable-7.2" in text
    mended = on_stable(life, "cherry-pick", "-x", fix)
    life.cycle()
    record = life.entry().record
    assert record.state is State.FIXED and record.cure is not None
    assert (record.cure.commit, record.cure.way) == (mended, Way.NAMED)
    assert life.kinds() == ["report", "fixed"]


def test_a_stable_branch_that_forked_before_is_left_alone(life: Life) -> None:
    stable(life)
    life.cycle()
    culprit, _ = life.reported()
    life.commit(GOOD, f"hw/core: mend\n\nFixes: {culprit[:12]}\n")
    life.cycle()
    record = life.entry().record
    assert record.state is State.FIXED
    assert [standing.culprit for standing in record.branches] == [None]
    assert life.kinds() == ["report", "fixed"]


def test_a_stable_branch_that_picked_the_culprit_has_it(life: Life) -> None:
    """It is known there by what its message says; that it fails there, too, is no regression of its own."""
    stable(life)
    life.cycle()
    culprit, _ = life.reported()
    pick = on_stable(life, "cherry-pick", "-x", culprit)
    life.cycle()
    assert len(life.store.regressions()) == 1
    fix = life.commit(GOOD, f"hw/core: mend\n\nFixes: {culprit[:12]}\n")
    life.cycle()
    (standing,) = life.entry().record.branches
    assert (standing.culprit, standing.fix, standing.pick) == (pick, None, "ok")
    on_stable(life, "cherry-pick", "-x", fix)
    life.cycle()
    assert life.entry().state is State.STABLE
