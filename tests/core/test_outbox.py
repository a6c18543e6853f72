"""What becomes of an item of the outbox: a table of cases, and what must hold whatever happens."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.outbox import (
    DAY,
    FIRST,
    GIVE_UP,
    HOUR,
    LONGEST,
    Accepted,
    Again,
    Answer,
    Approved,
    Began,
    Deferred,
    Died,
    Event,
    Held,
    Item,
    Lost,
    NotNowError,
    Rejected,
    Rendered,
    State,
    after,
    allowed,
    begun,
    counted,
    pause,
    waiting,
)

NOW = 1_000_000.0
ITEM = Item("r0001", "report", "<r0001.1.report.5f0c1e9a@x>", "mail", "0" * 64)
APPROVAL = "approval: not approved by a person"
BINARY = "binary: the same as the parent's"


def at(state: State, **fields: Any) -> Item:
    base = replace(ITEM, state=state, queued_at=NOW - 10, attempts=1, tried=NOW - 5)
    return replace(base, **fields)


TABLE: list[tuple[str, Item, Event, dict[str, Any] | str]] = [
    # what it was, what happened, what it is then (or what a person is told)
    ("approved", at(State.HELD, held=(APPROVAL,)), Approved("ann"),
     {"state": State.QUEUED, "held": (), "approved_by": "ann", "approved_at": NOW, "next_try": NOW, "queued_at": NOW}),
    ("approved, but the gate holds it", at(State.HELD, held=(APPROVAL, BINARY)), Approved("ann"),
     {"state": State.HELD, "held": (BINARY,), "approved_by": "ann"}),
    ("approved, written while nothing was sent", at(State.HELD, held=("sending: report.send was never",)),
     Approved("ann"), {"state": State.QUEUED, "held": ()}),
    ("approved after a person held it", at(State.HELD, held=("person: wait",)), Approved("ann"),
     {"state": State.QUEUED}),
    ("approval does not lift what replaced it", at(State.HELD, held=("superseded: by another",)), Approved("ann"),
     {"state": State.HELD}),
    ("approved twice", at(State.QUEUED, next_try=NOW + 60), Approved("bob"),
     {"state": State.QUEUED, "next_try": NOW + 60, "queued_at": NOW - 10, "approved_by": "bob"}),
    ("held by a person", at(State.QUEUED), Held("wait"), {"state": State.HELD, "held": ("person: wait",)}),
    ("held again, with another word", at(State.HELD, held=(BINARY, "person: wait")), Held("no"),
     {"held": (BINARY, "person: no")}),
    ("held too late", at(State.SENDING), Held("wait"), "it is being sent"),
    ("held when it was sent", at(State.SENT), Held("wait"), "it is sent"),
    ("a note on what may have gone out", at(State.UNKNOWN, said="lost"), Held("it is in the archive"),
     {"state": State.UNKNOWN, "said": "lost; person: it is in the archive"}),
    ("written anew", at(State.QUEUED, approved_by="ann"), Rendered("1" * 64, (APPROVAL,)),
     {"state": State.HELD, "body": "1" * 64, "approved_by": None, "held": (APPROVAL,), "attempts": 0}),
    ("written anew, free", at(State.HELD, held=(BINARY,)), Rendered("1" * 64, ()), {"state": State.QUEUED}),
    ("written anew, too late", at(State.SENT), Rendered("1" * 64, ()), "it is sent"),
    ("written anew while it is sent", at(State.SENDING), Rendered("1" * 64, ()), "it is being sent"),
    ("begun", at(State.QUEUED, next_try=NOW), Began(), {"state": State.SENDING, "attempts": 2, "tried": NOW}),
    ("begun too early", at(State.QUEUED, next_try=NOW + 1), Began(), "it is queued"),
    ("begun in a hurry", at(State.QUEUED, next_try=NOW + 1), Began(hurry=True), {"state": State.SENDING}),
    ("begun while held", at(State.HELD, held=(BINARY,)), Began(hurry=True), f"it is held: {BINARY}"),
    ("begun twice", at(State.SENDING), Began(hurry=True), "it is being sent"),
    ("begun, though unknown", at(State.UNKNOWN, said="lost"), Began(hurry=True),
     "it may have gone out (lost); look for it, and if it did not, give --again"),
    ("begun, though refused", at(State.REFUSED, said="550"), Began(),
     "it was refused (550); mend that, then give --again"),
    ("begun, though sent", at(State.SENT), Began(hurry=True), "it is sent"),
    ("taken", at(State.SENDING), Accepted("250 ok", ("a@x",)),
     {"state": State.SENT, "said": "250 ok", "delivered": ("a@x",)}),
    ("taken, but for one", at(State.SENDING), Accepted("250", ("a@x",), refused=("b@x",)),
     {"state": State.SENT, "delivered": ("a@x",), "refused": ("b@x",)}),
    ("taken, one to be tried later", at(State.SENDING), Accepted("250", ("a@x",), later=("b@x",)),
     {"state": State.QUEUED, "delivered": ("a@x",), "refused": (), "next_try": NOW + FIRST}),
    ("taken, and nobody waits for that one any more", at(State.SENDING, queued_at=NOW - GIVE_UP),
     Accepted("250", ("a@x",), later=("b@x",)), {"state": State.SENT, "delivered": ("a@x",), "refused": ("b@x",)}),
    ("not now", at(State.SENDING), Deferred("451"), {"state": State.QUEUED, "next_try": NOW + FIRST, "said": "451"}),
    ("not now, and the other side says when", at(State.SENDING), Deferred("503", after=7200.0),
     {"state": State.QUEUED, "next_try": NOW + 7200}),
    ("not for five days", at(State.SENDING, queued_at=NOW - GIVE_UP), Deferred("451"),
     {"state": State.REFUSED, "said": "given up after 5 days: 451"}),
    ("the last try is at the bound", at(State.SENDING, queued_at=NOW - GIVE_UP + 9, attempts=40), Deferred("451"),
     {"state": State.QUEUED, "next_try": NOW + 9}),
    ("refused", at(State.SENDING), Rejected("550 no"), {"state": State.REFUSED, "said": "550 no"}),
    ("no answer", at(State.SENDING), Lost("timed out"), {"state": State.UNKNOWN, "said": "timed out"}),
    ("killed", at(State.SENDING), Died(), {"state": State.UNKNOWN, "said": "bot ended while it was being sent"}),
    ("killed, and a repetition does no harm", at(State.SENDING), Died(repeatable=True), {"state": State.QUEUED}),
    ("killed elsewhere", at(State.QUEUED), Died(), "it is queued"),
    ("an answer to what was not asked", at(State.QUEUED), Accepted(), "it is queued"),
    ("again, unknown", at(State.UNKNOWN, delivered=("a@x",), attempts=9), Again("ann"),
     {"state": State.QUEUED, "queued_at": NOW, "attempts": 0, "delivered": ("a@x",), "said": "again, says ann"}),
    ("again, refused", at(State.REFUSED, refused=("b@x",)), Again("ann"), {"state": State.QUEUED, "refused": ()}),
    ("again, for those who did not get it", at(State.SENT, delivered=("a@x",), refused=("b@x",)), Again("ann"),
     {"state": State.QUEUED, "delivered": ("a@x",), "refused": ()}),
    ("again, after a test", at(State.SENT, delivered=("me@x",), test=True), Again("ann"),
     {"state": State.QUEUED, "delivered": (), "test": False}),
    ("again, though everybody has it", at(State.SENT, delivered=("a@x",)), Again("ann"),
     "it was sent, and nobody refused it; --send-to sends a copy to one address"),
    ("again, though it is held", at(State.HELD, held=(BINARY,)), Again("ann"),
     "it is held; --again is for what was refused or may have gone out"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "event", "wanted"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_table(item: Item, event: Event, wanted: dict[str, Any] | str) -> None:
    if isinstance(wanted, str):
        with pytest.raises(NotNowError) as caught:
            after(item, event, NOW)
        assert str(caught.value) == wanted
        return
    then = after(item, event, NOW)
    assert {name: getattr(then, name) for name in wanted} == wanted
    assert (then.message_id, then.destination, then.id) == (item.message_id, item.destination, item.id)


def test_a_new_item_is_queued_if_nothing_holds_it() -> None:
    assert begun(ITEM, NOW).state is State.QUEUED
    assert begun(replace(ITEM, held=(BINARY,)), NOW).state is State.HELD


def test_tries_of_five_days() -> None:
    """A sink that is gone for a day is tried often enough to be found again soon, and not without an end."""
    item, now, tries = begun(ITEM, NOW), NOW, []
    while item.state is State.QUEUED:
        now = item.next_try
        item = after(after(item, Began(), now), Deferred("gone"), now)
        tries.append(now - NOW)
    assert tries[:4] == [0, 300, 900, 2100]
    assert tries[-1] == GIVE_UP and item.state is State.REFUSED
    assert max(b - a for a, b in pairwise(tries)) == LONGEST
    assert len([at for at in tries if at < DAY]) == 11
    assert pause(10_000) == LONGEST and pause(1, 10 * DAY) == DAY


ANSWERS = st.sampled_from(
    [Accepted("250", ("a@x",)), Accepted("250", ("a@x",), later=("b@x",)), Deferred("451"), Rejected("550"), Lost("?")]
)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    ANSWERS,
    st.sampled_from([Rendered("1" * 64, ()), Held("wait"), Approved("ann"), Began(), Began(hurry=True), Died()]),
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 2 * DAY)), max_size=30))
def test_what_may_have_gone_out_never_goes_out_by_itself(events: list[tuple[Event, float]]) -> None:
    """In any order of events without a person's `Again`: one that ended, or may have gone out, stays where it is."""
    item, now = begun(ITEM, NOW), NOW
    for event, later in events:
        now += later
        try:
            then = after(item, event, now)
        except NotNowError:
            continue
        if item.state in (State.SENT, State.UNKNOWN, State.REFUSED):
            assert then.state is item.state
        if then.state is State.SENDING:
            assert item.state is State.QUEUED and not item.held
        if isinstance(event, Answer):
            assert item.state is State.SENDING
        assert set(item.delivered) <= set(then.delivered)
        item = then


# -- caps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "wait"),
    [
        ([], 0),
        ([NOW - 10], 0),
        ([NOW - 20, NOW - 10], HOUR - 20),
        ([NOW - HOUR, NOW - 10], 0),
        ([NOW - 5 * HOUR, NOW - 4 * HOUR, NOW - 3 * HOUR], DAY - 5 * HOUR),
        ([NOW - 4 * HOUR, NOW - 10, NOW - 5], DAY - 4 * HOUR),
    ],
)
def test_caps(times: list[float], wait: float) -> None:
    assert waiting(times, 2, 3, NOW) == wait
    if wait:
        assert waiting(times, 2, 3, NOW + wait) == 0


def test_what_may_have_gone_out_counts() -> None:
    items = [at(state) for state in State]
    assert len(counted(items, "mail")) == 3  # sent, unknown, sending
    assert counted([at(State.QUEUED, delivered=("a@x",))], "mail") == [NOW - 5]
    assert counted(items, "gitlab") == []


# -- recipients ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("qemu-devel@nongnu.org", True),
        ("a@sub.example.org", True),
        ("A@NONGNU.org", True),
        ("a@example.org", False),
        ("a@evil-nongnu.org", False),
        ("a@nongnu.org.evil", False),
        ("leave-me@nongnu.org", False),
        ("Leave-Me@Nongnu.ORG", False),
        ("migbot@nongnu.org", False),
        ("migbot+r0001@nongnu.org", False),
        ("migbot@sub.example.org", True),
        ("nobody", False),
    ],
)
def test_who_may_get_mail(address: str, fine: bool) -> None:
    domains = ("nongnu.org", "*.example.org")
    assert allowed(address, domains, ("leave-me@nongnu.org",), "migbot@nongnu.org") is fine


def test_nobody_may_if_no_domain_is_named() -> None:
    assert not allowed("a@nongnu.org", (), (), "b@x")
    assert allowed("a@nongnu.org", ("*",), (), "b@x")
