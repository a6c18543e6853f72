"""Issues, on a server that speaks as GitLab does: one for a regression whatever happens, and no text that acts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic import SecretStr

from bot.core.outbox import Accepted, Answer, Deferred, Rejected
from bot.errors import UserError
from bot.model import GitLab as Settings
from bot.model import Signature
from bot.report import render
from bot.report.deliver import as_text
from bot.report.post import Letter
from bot.report.post.gitlab import GitLab
from bot.report.post.issue import fenced, issue, title
from tests.report.test_mail import SETTINGS, TEMPLATES
from tests.testing import reports
from tests.testing.gitlab import BOT, Fault, Server, gitlab, quick_actions
from tests.testing.sink import certificate, free_port

NOW = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)
CANARY = "canary-token-5521"
REPORT = reports.first_bad()
MAIL = as_text(render.mail(REPORT, settings=SETTINGS, templates=TEMPLATES, date=NOW))
NEWS = issue(MAIL, "report", REPORT.regression, SETTINGS)


@pytest.fixture
def there() -> Iterator[Server]:
    with gitlab(CANARY) as server:
        yield server


def way(server: Server, **options: Any) -> GitLab:
    given = {"project": server.project, "timeout": 20.0, **options}
    return GitLab(Settings(server.url, **given), SecretStr(CANARY))


def letter(kind: str = "report", key: str | None = None) -> Letter:
    news = json.loads(NEWS) | {"kind": kind} | ({"key": key} if key else {})
    return Letter("k", json.dumps(news).encode())


# -- one issue -----------------------------------------------------------------------------------------------------


def test_an_issue_is_opened(there: Server) -> None:
    answer = way(there, labels={"all": ("migration", "a b")}, confidential=True).send(letter())
    (made,) = there.issues
    assert answer == Accepted(f"opened #1 {there.url}/group/project/-/issues/1")
    assert made["title"] == "[regression] pseries <= 3.1 -mem-path: migration v2.12.0 -> master"
    assert made["labels"] == ["migration", "a b"] and made["confidential"]
    text = made["description"]
    assert text.startswith("```text\nSince ab74e5431129") and "Fixes: ab74e5431129 (" in text
    assert "You get this as" not in text
    assert "<https://lore.kernel.org/qemu-devel/r0017.1.report.5950f51e@migbot.example.org/>" in text
    assert "<https://migbot.example.org/r0017>" in text


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", what="dropped"),
        Fault("POST", what="refused"),
        Fault("POST", what="garbage"),
        Fault("POST", what="endless"),
        Fault("GET", what="dropped"),
        Fault("POST", 500, body={"message": "500 Internal Server Error"}),
        Fault("POST", 429, headers={"Retry-After": "60"}),
        Fault("GET", 502),
    ],
    ids=lambda fault: f"{fault.method}-{fault.status or fault.what}",
)
def test_tried_again_there_is_one(there: Server, fault: Fault) -> None:
    there.faults = [replace(fault)]
    first = way(there).send(letter())
    assert isinstance(first, Deferred) and first.everything, first
    assert first.after == (60 if fault.status == 429 else 0)
    for _ in range(3):
        assert isinstance(way(there).send(letter()), Accepted)
    assert len(there.issues) == 1 and there.notes[1] == []


def test_what_was_done_is_named(there: Server) -> None:
    there.faults = [Fault("POST", what="dropped")]
    way(there).send(letter())
    again = way(there).send(letter())
    assert again == Accepted(f"it is said already in #1 {there.url}/group/project/-/issues/1")


def test_words_of_somebody_else_are_not_taken_for_ours(there: Server) -> None:
    """Who knows the words can write them into an issue or comment of their own."""
    news = json.loads(NEWS)
    there.add(f"{news['thread']} {news['key']}")
    way(there).send(letter())
    assert [one["author"]["id"] for one in there.issues] == [8, BOT]
    there.comment(2, "fake-key")
    assert way(there).send(letter("fixed", key="fake-key")) == Accepted(
        f"commented on, closed #2 {there.url}/group/project/-/issues/2"
    )


def test_a_regression_of_another_work_directory_has_another_issue(there: Server) -> None:
    """Ids begin anew there."""
    way(there).send(letter())
    other = replace(REPORT.regression, signature=Signature("section-version", "cpu/slb"))
    news = json.loads(issue(MAIL.replace("5950f51e@", "5950f51f@"), "report", other, SETTINGS))
    way(there).send(Letter("k", json.dumps(news).encode()))
    assert len(there.issues) == 2


# -- what follows --------------------------------------------------------------------------------------------------


def test_another_finding_about_it_is_a_comment(there: Server) -> None:
    way(there).send(letter("range"))
    assert way(there).send(letter("report", "key-2")) == Accepted(
        f"commented on #1 {there.url}/group/project/-/issues/1"
    )
    assert len(there.issues) == 1 and len(there.notes[1]) == 1


@pytest.mark.parametrize("kind", ["fixed", "retract"])
@pytest.mark.parametrize(
    "fault", [None, Fault("POST", what="dropped"), Fault("PUT", what="dropped"), Fault("PUT", 500)],
    ids=["none", "comment-dropped", "close-dropped", "close-500"],
)  # fmt: skip
def test_it_is_closed_with_one_comment(there: Server, kind: str, fault: Fault | None) -> None:
    way(there).send(letter())
    there.faults = [replace(fault)] if fault else []
    told = way(there, labels={kind: (f"Closed::{kind}",)})
    for number in range(80):  # others write in between
        there.comment(1, f"comment {number}")
    answers = [told.send(letter(kind, "key-2")) for _ in range(3)]
    assert isinstance(answers[0], Deferred if fault else Accepted)
    assert isinstance(answers[-1], Accepted)
    (made,) = there.issues
    assert (made["state"], made["labels"]) == ("closed", [f"Closed::{kind}"])
    assert sum("key-2" in note["body"] for note in there.notes[1]) == 1
    if fault is None:
        assert told.send(letter("reopened", "key-3")) == Accepted(
            f"commented on, reopened, labelled #1 {there.url}/group/project/-/issues/1"
        )
        assert (made["state"], made["labels"]) == ("opened", [])


def test_a_follow_up_without_an_issue_is_refused(there: Server) -> None:
    answer = way(there).send(letter("fixed"))
    assert isinstance(answer, Rejected) and "there is no issue" in answer.why
    assert there.issues == []


# -- what GitLab says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (Fault("GET", 403, body={"error": "insufficient_scope", "error_description": "needs api"}),
         Rejected("403 Forbidden: needs api")),
        (Fault("POST", 400, body={"message": {"title": ["is too long"]}}),
         Rejected('400 Bad Request: {"title": ["is too long"]}')),
        (Fault("GET", 404, body=["what is this"]), Rejected("404 Not Found")),
        (Fault("GET", 200, body={"not": "a list"}), None),
        (Fault("GET", 200, body=[1, 2]), None),
        (Fault("POST", 201, body=[]), None),
        (Fault("POST", 201, body={"iid": "one"}), None),
    ],
    ids=["scope", "invalid", "unknown", "map", "numbers", "list", "no-number"],
)  # fmt: skip
def test_what_it_says(there: Server, fault: Fault, wanted: Answer | None) -> None:
    there.faults = [replace(fault)]
    answer = way(there).send(letter())
    assert answer == (wanted or Deferred("an answer that is not GitLab's; is report.gitlab.url right?", 0, True))


def test_a_project_that_is_not_there(there: Server) -> None:
    assert way(there, project="group/other").send(letter()) == Rejected("404 Not Found: 404 Project Not Found")


def test_a_project_for_trials_gets_all(there: Server) -> None:
    assert isinstance(way(there, project="group/real", test_project=there.project).send(letter()), Accepted)


def test_a_wrong_token_loses_nothing(there: Server) -> None:
    there.token = CANARY[1:]
    answer = way(there).send(letter())
    why = "401 Unauthorized: 401 Unauthorized; the token is wrong, or has expired"
    assert answer == Deferred(why, everything=True)


def test_the_token_goes_nowhere_else_and_is_not_told(there: Server) -> None:
    with gitlab(CANARY) as elsewhere:
        there.faults = [Fault("GET", 302, headers={"Location": f"{elsewhere.url}/api/v4/projects/1/issues"})]
        answer = way(there).send(letter())
        assert isinstance(answer, Rejected) and "report.gitlab.url" in answer.why
        assert elsewhere.asked == []
    there.faults = [Fault("GET", 400, body={"message": f"you sent {CANARY}"})]
    answer = way(there).send(letter())
    assert answer == Rejected("400 Bad Request: you sent (the token)")
    assert CANARY not in repr(way(there).__dict__)


def test_no_token() -> None:
    with pytest.raises(UserError, match="BOT_SECRET_GITLAB"):
        GitLab(Settings("https://gitlab.com", "a/b"), None)


@pytest.mark.parametrize("what", ["gone", "hang", "drip"])
def test_it_is_not_waited_for_without_end(there: Server, what: str) -> None:
    there.faults = [Fault("GET", what=what)]
    there.url = f"http://127.0.0.1:{free_port()}" if what == "gone" else there.url
    answer = way(there, timeout=0.4).send(letter())
    assert isinstance(answer, Deferred) and answer.everything


def test_tls(tmp_path: Path) -> None:
    mine, other = (tmp_path / name for name in ("mine", "other"))
    mine.mkdir()
    other.mkdir()
    pem, theirs = certificate(mine), certificate(other, "gitlab.example.org")
    with gitlab(CANARY, pem) as there, gitlab(CANARY, theirs) as named_otherwise:
        for server, ca in ((there, None), (there, theirs), (named_otherwise, theirs)):
            answer = way(server, ca=ca).send(letter())
            assert isinstance(answer, Deferred) and "certificate is not believed" in answer.why
        answer = way(there, ca=tmp_path / "not-there").send(letter())
        assert isinstance(answer, Deferred) and "report.gitlab.ca" in answer.why
        assert there.asked == named_otherwise.asked == []
        assert isinstance(way(there, ca=pem).send(letter()), Accepted)


# -- text from outside ---------------------------------------------------------------------------------------------

ACTING = st.lists(
    st.sampled_from(
        ["/close", "/assign @me", "/label ~x", "@all", "@qemu-project", "#12", "!3", "~bug", "%1", "```", "``` ",
         "~~~", "````text", "<script>", "<!--", "-->", "[a](javascript:x)", "![x](https://e.org/x)", "</pre>", ">>>",
         "\n", "\r\n", "\n\n", "\u2028", "\x85", "\x0b", "\x1b[2J", "\t", "    ", "-- ", "---", "$$", "[[_TOC_]]",
         "a", "é", " ", "&lt;", "\\", "https://gitlab.com/a/b/-/issues/1", "[issue:1]", ":::"]
    ),
    max_size=12,
).map("".join)  # fmt: skip
MARKDOWN = MarkdownIt("commonmark")


@settings(max_examples=300, deadline=None)
@given(ACTING)
def test_no_text_gets_out_of_its_block(text: str) -> None:
    block = fenced(text)
    (fence, *rest) = MARKDOWN.parse(f"{block}\n\nours")
    assert fence.type == "fence" and fence.info == "text"
    assert [token.content for token in rest if token.content] == ["ours"]
    assert quick_actions(block) == quick_actions(block.replace("```", "")) == []
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028]", fence.content.replace("\n", "").replace("\t", ""))


@settings(max_examples=40, deadline=None)
@given(ACTING, ACTING)
def test_a_hostile_commit_changes_nothing_around_it(subject: str, name: str) -> None:
    culprit = replace(REPORT.culprit, subject=subject, author=name)  # type: ignore[type-var]  # it has one
    report = replace(REPORT, culprit=culprit, bad_name=subject, symptom=f"{subject}\n/close\n```\n/close")
    mail = as_text(render.mail(report, settings=SETTINGS, templates=TEMPLATES, date=NOW))
    with gitlab(CANARY) as there:
        news = issue(mail, "report", report.regression, SETTINGS)
        assert isinstance(way(there).send(Letter("k", news.encode())), Accepted)
        (made,) = there.issues
    fence, *rest = MARKDOWN.parse(made["description"])
    news = json.loads(news)
    assert there.actions == [] and fence.type == "fence"
    assert [token.content for token in rest if token.content] == [
        "Mail: <https://lore.kernel.org/qemu-devel/r0017.1.report.5950f51e@migbot.example.org/>",
        "Logs, file for git bisect replay, all figures: <https://migbot.example.org/r0017>",
        f"(`{news['thread']} {news['key']}`: by this the bot finds it again)",
    ]
    assert_names_nobody(made["title"])


def assert_names_nobody(text: str) -> None:
    assert not re.search(r"[@#!~%&$^*](?=\w)|\[\w+:\d|://", text), text
    assert len(text) <= 255 and text.isprintable()


@settings(max_examples=300, deadline=None)
@given(ACTING)
def test_a_title_names_nobody(text: str) -> None:
    assert_names_nobody(title(text))
