"""What telling news of a regression does with its issue: a table, and never twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.gate import Kind
from bot.core.tracker import EFFECTS, Issue, NoIssueError, Plan, addresses, named, plan, word

OPEN = Issue(12, closed=False, labels=frozenset(), told=False)
CLOSED = replace(OPEN, closed=True)
TABLE = {
    ("report", "none"): Plan(create=True),
    ("exposed", "none"): Plan(create=True),
    ("range", "none"): Plan(create=True),
    ("merge", "none"): Plan(create=True),
    ("report", "open"): Plan(comment=True),
    ("report", "closed"): Plan(comment=True),  # a person closed it
    ("fixed", "open"): Plan(comment=True, closed=True),
    ("fixed", "closed"): Plan(comment=True),
    ("retract", "open"): Plan(comment=True, closed=True),
    ("corrected", "open"): Plan(comment=True),
    ("stable", "open"): Plan(comment=True),
    ("reopened", "closed"): Plan(comment=True, closed=False),
    ("reopened", "open"): Plan(comment=True),
    ("never heard of", "open"): Plan(comment=True),
}


@pytest.mark.parametrize(("kind", "there"), TABLE)
def test_what_is_done(kind: str, there: str) -> None:
    issue = {"none": None, "open": OPEN, "closed": CLOSED}[there]
    assert plan(kind, {}, issue) == TABLE[kind, there]


@pytest.mark.parametrize("kind", ["fixed", "retract", "stable", "reopened", "never heard of"])
def test_news_about_an_issue_that_is_not_there(kind: str) -> None:
    with pytest.raises(NoIssueError, match="there is no issue"):
        plan(kind, {}, None)


def test_every_kind_of_mail_is_in_the_table() -> None:
    assert {kind.value for kind in Kind} - {Kind.SERIES} <= set(EFFECTS)  # a posted series has no issue


def test_labels_by_the_kind_of_news() -> None:
    labels = {"all": ("migration",), "fixed": ("Closed::Fixed", "migration")}
    assert plan("report", labels, None).labels == ("migration",)
    assert plan("fixed", labels, replace(OPEN, labels=frozenset({"migration"}))).labels == ("Closed::Fixed",)


def test_reopened_it_is_not_called_fixed() -> None:
    labels = {"all": ("migration",), "fixed": ("Closed::Fixed", "migration"), "retract": ("Closed::Invalid",)}
    there = replace(CLOSED, labels=frozenset({"migration", "Closed::Fixed", "a person's"}))
    assert plan("reopened", labels, there) == Plan(comment=True, closed=False, gone=("Closed::Fixed",))
    assert plan("report", labels, there).gone == ()


@given(st.sampled_from([*EFFECTS, "other"]), st.booleans(), st.frozensets(st.sampled_from("abc")))
def test_once_done_nothing_is_left_to_do(kind: str, closed: bool, there: frozenset[str]) -> None:
    labels = {"all": ("a",), "fixed": ("c",), kind: ("b",)}
    issue = Issue(1, closed, there, told=False)
    first = plan(kind, labels, issue)
    now = (there | set(first.labels)) - set(first.gone)
    after = Issue(1, closed if first.closed is None else first.closed, now, told=True)
    assert first.comment and plan(kind, labels, after) == Plan()


def test_words_are_one_word_and_differ() -> None:
    assert word("a", "bc").isalnum() and word("a", "bc") != word("ab", "c")


HOME = "https://gitlab.example.org/group/sub/project"
ISSUE = (f"{HOME}/-/issues/12", f"{HOME}/issues/12", f"{HOME}/-/work_items/12")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (f"opened {named(12, ISSUE[0])}", ISSUE),
        (f"commented on, closed {named(12, ISSUE[1])}", ISSUE),
        (f"it is said already in {named(12, ISSUE[2])}", ISSUE),
        (f"opened {named(12, '')}", ()),
        (f"404 Not Found: {HOME}", ()),
        (f"opened #12 {HOME}/-/merge_requests/12", ()),
        ("", ()),
    ],
)
def test_by_what_people_name_it(said: str, found: tuple[str, ...]) -> None:
    assert addresses(said) == found
