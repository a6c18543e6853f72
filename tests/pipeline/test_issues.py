"""Issues through the outbox: opened once, killed at each step, tried elsewhere first, and written with the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from bot.config import load
from bot.core.gate import Kind
from bot.core.lifecycle import Claimed, Record
from bot.core.outbox import DAY, GITLAB, MAIL, Again, Item, State
from bot.errors import UserError
from bot.host.git import Repository
from bot.model import GitLab
from bot.pipeline import curing, sending, tracking
from bot.pipeline.posting import posts
from bot.pipeline.sending import Office, Wish
from bot.report.post.issue import issue
from bot.store.outbox import Post
from bot.store.store import Mail
from tests.pipeline.test_sending import APPROVAL, Clock, Configured, Place, settings
from tests.report.test_gitlab import CANARY, REPORT
from tests.report.test_gitlab import MAIL as EML
from tests.report.test_mail import SETTINGS
from tests.testing import reports
from tests.testing.forked import KILLED, die, forked
from tests.testing.gitlab import Fault, Server, gitlab
from tests.testing.history import draw, git


@pytest.fixture
def there() -> Iterator[Server]:
    with gitlab(CANARY) as server:
        yield server


@pytest.fixture
def here(tmp_path: Path) -> Place:
    (tmp_path / "token").write_text(CANARY + "\n")
    (tmp_path / "token").chmod(0o600)
    return Place(tmp_path, Clock(), [])


def conclude(here: Place, held: tuple[str, ...] = ()) -> None:
    kept = here.store.open_regression(replace(reports.first_bad().regression, id=""))
    own = f"<{kept.id}.1.report.5950f51e@x>"
    eml = EML.replace("<r0017.1.report.5950f51e@migbot.example.org>", own)
    post = Post("report", own, GITLAB, held, issue(eml, "report", kept, SETTINGS))
    here.store.conclude(kept.id, "first-bad", "{}", "", mail=Mail(kept.id, "report", own, 1.0, held, eml), posts=[post])


def office(here: Place, there: Server, **options: Any) -> Office:
    given = {"project": there.project, "token_file": here.work / "token", "timeout": 20.0, **options}
    return here.office(1, gitlab=GitLab(there.url, **given))


def item(here: Place) -> Item:
    (found,) = here.items()
    return found


def test_what_is_found_later_names_the_issue(here: Place, there: Server) -> None:
    conclude(here)
    assert tracking.issue(here.store, "r0001") == ""
    office(here, there).flush()
    assert tracking.issue(here.store, "r0001") == f"{there.url}/{there.project}/-/issues/1"


def test_one_for_trials_is_named_in_no_tag(here: Place, there: Server) -> None:
    conclude(here)
    office(here, there, test_project=there.project).flush()
    assert item(here).state is State.SENT and tracking.issue(here.store, "r0001") == ""


def test_it_is_opened_once_and_told(here: Place, there: Server) -> None:
    conclude(here)
    there.faults = [Fault("POST", what="dropped"), Fault("GET", 503, headers={"Retry-After": "900"})]
    for wait in (0, 300, 300, 600, DAY):
        here.clock.now += wait
        office(here, there).flush()
    assert len(there.issues) == 1 and item(here).state is State.SENT
    assert "it is said already in #1" in here.said[-1]
    assert CANARY not in "\n".join(here.said) + repr(office(here, there).transport(GITLAB))
    files = [path for path in here.work.rglob("*") if path.is_file() and path.name != "token"]
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


def test_it_waits_for_a_person(here: Place, there: Server) -> None:
    conclude(here, held=(APPROVAL,))
    office(here, there).flush()
    assert there.asked == []
    config: Any = Configured(settings(1, gitlab=office(here, there).settings.gitlab))
    assert sending.fulfil(config, here.work, "r0001", None, Wish(approve=True, send=True)) == 0
    assert len(there.issues) == 1


def test_tried_elsewhere_first(here: Place, there: Server) -> None:
    """What went to the project for trials goes to the real one at a person's word alone."""
    conclude(here)
    office(here, there, project="group/real", test_project=there.project).flush()
    assert item(here).test and "to report.gitlab.test_project alone: opened #1" in here.said[-1]
    there.project, there.issues = "group/real", []
    office(here, there).flush()
    assert there.issues == []
    here.store.outbox.change(item(here), Again("ann"))
    office(here, there).flush()
    assert len(there.issues) == 1 and not item(here).test


def test_without_a_token_it_waits(here: Place, there: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.host.withheld._taken", {})
    conclude(here)
    office(here, there, token_file=None).flush()
    assert item(here).state is State.QUEUED and item(here).attempts == 0
    assert here.said == ["gitlab: report.gitlab needs a token: give token_file, or the variable BOT_SECRET_GITLAB"]


def dying(name: str, call: int) -> None:
    """kill -9 before the so many-th request, or after it."""
    original, left = requests.request, [call]

    def request(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if name == "before" and not left[0]:
            die()
        answer = original(*args, **kwargs)
        return answer if left[0] else die()

    requests.request = request


@pytest.mark.parametrize(("name", "call"), [("before", 1), ("after", 1), ("before", 2), ("after", 2)])
def test_killed_at_each_request_there_is_one(here: Place, there: Server, name: str, call: int) -> None:
    conclude(here)

    def work() -> None:
        dying(name, call)
        office(here, there).flush()

    assert forked(work) == KILLED
    assert len(there.issues) == (name, call).count("after") * (call == 2)
    for _ in range(3):
        office(here, there).flush()
        here.clock.now += DAY
    assert len(there.issues) == 1 and item(here).state is State.SENT


def test_the_verdict_comes_with_its_issue() -> None:
    mail = Mail("r0017", Kind.REPORT, "<r0017.1.report.5950f51e@migbot.example.org>", 1.0, (APPROVAL,), EML)
    off = load(environ={})
    assert [post.destination for post in posts(REPORT, Kind.REPORT, mail, off)] == [MAIL]
    on = load(environ={}, overrides=["report.gitlab.project=group/project"])
    _, post = posts(REPORT, Kind.REPORT, mail, on)
    assert (post.destination, post.held) == (GITLAB, (APPROVAL,)), "report.send: never is about mails"
    told = json.loads(post.text)
    assert told["kind"] == "report" and told["title"].startswith("[regression] pseries")


def test_nothing_is_sent_where_no_project_is_named(here: Place) -> None:
    conclude(here)
    config: Any = Configured(replace(settings(1), by="never"))
    with pytest.raises(UserError, match="it is configured no more"):
        sending.fulfil(config, here.work, "r0001", None, Wish(send=True))


def test_a_commit_that_resolves_the_issue_says_that_it_cures_it(here: Place, there: Server) -> None:
    conclude(here)
    conclude(here)
    office(here, there).flush()
    urls = [issue["web_url"] for issue in there.issues]
    history = draw(here.work / "clone", "1 2")
    clone = history.repository.path
    for url in urls:
        git(clone, "commit", "--quiet", "--allow-empty", "-m", f"hw/core: mend\n\nResolves: {url}\n")
    fix = git(clone, "rev-parse", "HEAD^")
    desk: Any = SimpleNamespace(store=here.store, config=load(None), repository=Repository(clone))
    regression = replace(reports.first_bad().regression, id="r0001", bad=history["2"])
    report = replace(reports.first_bad(), regression=regression)
    assert curing.claims(desk, report, Record()) == (Claimed(fix, f"Resolves: {urls[0]}"),)
