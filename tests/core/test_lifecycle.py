"""What becomes of a regression: a table of cases, and what must hold whatever happens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.gate import Kind
from bot.core.lifecycle import (
    Accepted,
    Claimed,
    Corrected,
    Cured,
    Disputed,
    Event,
    Expired,
    Guests,
    Happened,
    NotNowError,
    Offered,
    Partly,
    Record,
    Refuted,
    Reopened,
    Retracted,
    Standing,
    State,
    Stuck,
    Surveyed,
    Tried,
    Unnamed,
    Way,
    after,
    became,
    due,
    moot,
    overtaken,
    partly,
    replay,
    telling,
)
from bot.model import RevertOutcome, Tally

NOW = 1_000_000.0
PARENT, FIX, OTHER, TIP, CULPRIT, PICK = (digit * 40 for digit in "123456")

CLAIM = Claimed(FIX, f'Fixes: {CULPRIT[:12]} ("x")')
ANOTHER = Claimed(OTHER, f"This reverts commit {CULPRIT}")
OFFER = Offered("20200401.1@example.org", f"Fixes: {CULPRIT[:12]}")
WRONG = Refuted(FIX, "it fails 3 of 3")
CURE = Cured(
    FIX,
    Way.NAMED,
    (Tally(PARENT, 10, 10),),
    Tally(FIX, 0, 10),
    Tally(TIP, 0, 10),
    2,
    Guests("v8.0.0", Tally(TIP, 3, 3)),
)
GONE = Unnamed(Tally(TIP, 0, 10), "the search named no commit")
PARTLY, NONE_PASSES = Partly(TIP, ("a",), ("b", "c")), Partly(TIP, (), ("a", "b", "c"))
STUCK, RUNS = Stuck(TIP, "pc-q35-2.4 is deleted"), Stuck(TIP, "")
AGAIN = Reopened(FIX, TIP)
ACCEPT = Accepted("Ann <ann@example.org>", "2026-12-31", "the old release is wrong", "bob")
EXPIRE = Expired("Ann <ann@example.org>", "2026-12-31", "the old release is wrong")
RETRACT = Retracted("random", "bob")
FAILS, PASSES_THERE = Tally(OTHER, 10, 10), (Tally(PARENT, 0, 10),)
DISPUTE = Disputed(OTHER, "ann@example.org", Tally(OTHER, 0, 10), (), "it passes 10 of 10")
BESIDE = Disputed(OTHER, "ann@example.org", FAILS, PASSES_THERE, "both bring it", brings=True)
CORRECT = Corrected(OTHER, "ann@example.org", FAILS, PASSES_THERE, PARENT, CULPRIT)
NAMED = Corrected(OTHER, "ann@example.org", FAILS, PASSES_THERE, PARENT)
TRIED = Tried("a@example.org", "ann@example.org", "it cures it")
UNHURT = Standing("stable-7.2", None, None)
BROKEN = Standing("stable-8.0", CULPRIT, None, Tally(TIP, 10, 10), RevertOutcome.OK)
PICKED = Standing("stable-8.0", CULPRIT, PICK, Tally(TIP, 0, 10))
UNRUN = Standing("stable-8.0", CULPRIT, PICK)
PASSES = Standing("stable-8.1", CULPRIT, None, Tally(TIP, 0, 10))
MISSING, DONE = Surveyed((UNHURT, BROKEN)), Surveyed((UNHURT, PICKED))

TABLE: list[tuple[str, tuple[Event, ...], Event, dict[str, Any] | str]] = [
    # what it was, what had happened, what happens, what it is then (or what a person is told)
    ("a claim", (), CLAIM, {"state": State.POSTED, "claims": (FIX,), "wanted": None}),
    ("a second claim", (CLAIM,), ANOTHER, {"state": State.POSTED, "claims": (FIX, OTHER)}),
    ("the same claim", (CLAIM,), CLAIM, "is noted"),
    ("a claim that was run", (CLAIM, WRONG), CLAIM, "is noted"),
    ("a claim of what is fixed", (CURE,), CLAIM, "it is fixed"),
    ("a claim about what is accepted", (ACCEPT,), CLAIM, {"state": State.ACCEPTED, "claims": (FIX,)}),
    ("a patch on a list", (), OFFER, {"state": State.POSTED, "offers": (OFFER.mail,), "claims": (), "wanted": None}),
    ("the same patch, through another list", (OFFER,), OFFER, "is noted"),
    ("a patch for what is accepted", (ACCEPT,), OFFER, {"state": State.ACCEPTED, "offers": (OFFER.mail,)}),
    ("a patch for what is fixed", (CURE,), OFFER, "it is fixed"),
    ("a patch that was applied", (OFFER,), CLAIM, {"state": State.POSTED, "claims": (FIX,)}),
    ("a patch that was applied cures nothing", (OFFER, CLAIM), WRONG, {"state": State.OPEN, "offers": (OFFER.mail,)}),
    ("asked again, with a patch", (ACCEPT, OFFER), EXPIRE, {"state": State.POSTED}),
    ("again, and the old patch was not it", (OFFER, CURE), AGAIN, {"state": State.REOPENED, "offers": ()}),
    ("a claim cures nothing", (CLAIM,), WRONG,
     {"state": State.OPEN, "claims": (), "refuted": (FIX,), "wanted": None}),
    ("one of two claims", (CLAIM, ANOTHER), WRONG, {"state": State.POSTED, "claims": (OTHER,)}),
    ("what nobody claimed", (), WRONG, "is no claim"),
    ("a claim cures nothing, after it came again", (CURE, AGAIN, CLAIM), WRONG, {"state": State.REOPENED}),
    ("cured by a claim", (CLAIM,), CURE, {"state": State.FIXED, "cure": CURE, "claims": (), "mails": 2}),
    ("cured, found by a search", (), CURE, {"state": State.FIXED}),
    ("cured while it is accepted", (ACCEPT,), CURE, {"state": State.FIXED, "accepted": None}),
    ("cured twice", (CURE,), CURE, "it is fixed"),
    ("cured, once retracted", (RETRACT,), CURE, "it is retracted"),
    ("gone, by what is not known", (), GONE, {"state": State.OPEN, "passing": TIP, "wanted": None}),
    ("gone, and then named", (GONE,), CURE, {"state": State.FIXED, "passing": None}),
    ("some cases pass", (), PARTLY,
     {"state": State.OPEN, "partly": PARTLY, "wanted": None, "note": "1 of 3 cases pass"}),
    ("some cases pass of what is accepted", (ACCEPT,), PARTLY, {"state": State.ACCEPTED, "partly": PARTLY}),
    ("they fail again", (PARTLY,), NONE_PASSES, {"state": State.OPEN, "partly": None, "note": ""}),
    ("some pass, and then all", (PARTLY,), CURE, {"state": State.FIXED, "partly": None}),
    ("some cases of what is fixed", (CURE,), PARTLY, "it is fixed"),
    ("nobody can run it", (CLAIM,), STUCK,
     {"state": State.POSTED, "stuck": STUCK, "wanted": None, "note": "not run any more: pc-q35-2.4 is deleted"}),
    ("nobody can run what is accepted", (ACCEPT,), STUCK,
     {"state": State.ACCEPTED, "note": "until 2026-12-31, Ann <ann@example.org>"}),
    ("it is run again", (STUCK,), RUNS, {"state": State.OPEN, "stuck": None, "note": ""}),
    ("nobody can run what is fixed", (CURE,), STUCK, "it is fixed"),
    ("missing in a stable branch", (CURE,), MISSING, {"state": State.FIXED, "missing": True, "mails": 3}),
    ("still missing", (CURE, MISSING), MISSING, {"state": State.FIXED, "mails": 3}),
    ("picked", (CURE, MISSING), DONE, {"state": State.STABLE, "mails": 4}),
    ("picked before anybody asked", (CURE,), DONE, {"state": State.STABLE, "mails": 3}),
    ("picked, but not run", (CURE,), Surveyed((UNRUN,)), {"state": State.FIXED, "mails": 2}),
    ("no stable branch has it", (CURE,), Surveyed((UNHURT,)), {"state": State.FIXED, "mails": 2}),
    ("a stable branch passes without it", (CURE,), Surveyed((PASSES,)), {"state": State.FIXED, "mails": 2}),
    ("one passes without it, one has it", (CURE,), Surveyed((PASSES, PICKED)), {"state": State.STABLE}),
    ("a stable branch lost it again", (CURE, DONE), MISSING, {"state": State.FIXED}),
    ("branches of what is open", (), MISSING, "it is open"),
    ("again", (CURE,), AGAIN, {"state": State.REOPENED, "times": 1, "mails": 4, "report": 4}),
    ("again, with stable branches", (CURE, MISSING, DONE), AGAIN,
     {"state": State.REOPENED, "branches": (), "missing": False}),
    ("again, and fixed by what did not help before", (CLAIM, WRONG, CURE, AGAIN), CLAIM, {"state": State.POSTED}),
    ("again, though open", (), AGAIN, "it is open"),
    ("fixed for the second time", (CURE, AGAIN), CURE, {"state": State.FIXED, "mails": 5}),
    ("accepted", (), ACCEPT, {"state": State.ACCEPTED, "accepted": ACCEPT, "wanted": None}),
    ("accepted for longer", (ACCEPT,), ACCEPT, {"state": State.ACCEPTED}),
    ("accepted, though fixed", (CURE,), ACCEPT, "it is fixed: only what fails can be accepted"),
    ("asked again", (ACCEPT,), EXPIRE, {"state": State.OPEN, "accepted": ACCEPT, "mails": 2}),
    ("asked again, with a claim", (ACCEPT, CLAIM), EXPIRE, {"state": State.POSTED}),
    ("asked again, after it came again", (CURE, AGAIN, ACCEPT), EXPIRE, {"state": State.REOPENED}),
    ("expired, though never accepted", (), EXPIRE, "it is open"),
    ("retracted", (), RETRACT, {"state": State.RETRACTED, "mails": 2}),
    ("retracted, though fixed", (CURE,), RETRACT, {"state": State.RETRACTED, "mails": 3}),
    ("retracted twice", (RETRACT,), RETRACT, "it is retracted already"),
    ("a claim about what is retracted", (RETRACT,), CLAIM, "it is retracted"),
    ("another commit does not bring it", (CLAIM,), DISPUTE,
     {"state": State.POSTED, "also": (), "mails": 1, "wanted": None}),
    ("another commit brings it, too", (), BESIDE, {"state": State.OPEN, "also": (OTHER,), "wanted": None}),
    ("it is said twice", (BESIDE,), BESIDE, {"also": (OTHER,)}),
    ("another commit brought it", (CLAIM, GONE, BESIDE), CORRECT,
     {"state": State.POSTED, "claims": (FIX,), "passing": None, "also": (), "corrected": CORRECT, "mails": 3,
      "report": 3}),
    ("one commit of several brought it", (), NAMED, {"corrected": NAMED, "mails": 2, "report": 2, "wanted": None}),
    ("another brought it, though fixed", (CURE,), CORRECT, "it is fixed"),
    ("another brought it, though accepted", (ACCEPT,), CORRECT, "it is accepted"),
    ("another brought it, once retracted", (RETRACT,), DISPUTE, "it is retracted"),
    ("again, after it was corrected", (CORRECT, CURE), AGAIN, {"corrected": None, "also": (), "report": 6}),
    ("a patch was tried", (CLAIM,), TRIED, {"state": State.POSTED, "claims": (FIX,), "mails": 1}),
    ("a patch was tried, once it is fixed", (CURE,), TRIED, "it is fixed"),
]  # fmt: skip


def happened(*events: Event) -> tuple[Happened, ...]:
    return tuple(Happened(NOW + i, event) for i, event in enumerate(events))


@pytest.mark.parametrize(("_what", "before", "event", "then"), TABLE, ids=[row[0] for row in TABLE])
def test_table(_what: str, before: tuple[Event, ...], event: Event, then: dict[str, Any] | str) -> None:
    record = replay(happened(*before))
    if isinstance(then, str):
        with pytest.raises(NotNowError, match=then):
            after(record, event, NOW + 99)
        return
    changed = after(record, event, NOW + 99)
    assert {name: getattr(changed, name) for name in then} == then
    assert changed.history == (*record.history, Happened(NOW + 99, event))


MAILS = [
    ((CURE,), Kind.FIXED, 2),
    ((CLAIM, CURE), Kind.FIXED, 2),
    ((CURE, MISSING), Kind.STABLE, 3),
    ((CURE, MISSING, DONE), Kind.PICKED, 4),
    ((CURE, AGAIN), Kind.REOPENED, 3),
    ((CURE, AGAIN, CURE), Kind.FIXED, 5),
    ((ACCEPT, EXPIRE), Kind.EXPIRED, 2),
    ((RETRACT,), Kind.RETRACT, 2),
    ((CORRECT,), Kind.CORRECTED, 2),
]


@pytest.mark.parametrize(("events", "kind", "seq"), MAILS, ids=[f"{row[1]}-{row[2]}" for row in MAILS])
def test_each_state_has_one_mail_with_a_number_of_its_own(events: tuple[Event, ...], kind: Kind, seq: int) -> None:
    wanted = replay(happened(*events)).wanted
    assert wanted is not None
    assert (wanted.kind, wanted.seq, wanted.event) == (kind, seq, events[-1])


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ((CORRECT,), "corrected"),
        ((NAMED,), "open"),
        ((CURE, AGAIN), "fixed"),
        ((CURE, DONE, AGAIN), "fixed in stable"),
        ((CURE, AGAIN, CORRECT), "corrected"),
    ],
    ids=["another commit brought it", "it blamed no one commit", "it came again", "in stable", "it came again, wrong"],
)
def test_what_became_of_the_report_until_a_new_search(events: tuple[Event, ...], what: str) -> None:
    assert became(happened(*events, RETRACT), len(events) - 1) == what


def test_it_is_asked_again_the_day_after() -> None:
    record = replay(happened(ACCEPT))
    assert due(record, "2026-12-31") is None
    assert due(record, "2027-01-01") == EXPIRE
    assert due(Record(), "2027-01-01") is None


def test_what_did_not_go_out_before_it_was_over_does_not_go_out_any_more() -> None:
    assert moot(Record()) is None
    assert str(moot(replay(happened(CURE)))) == f"superseded: it is fixed by {FIX[:12]}"
    assert str(moot(replay(happened(RETRACT)))) == "superseded: it is retracted"
    assert str(moot(replay(happened(ACCEPT)))) == "person: it is accepted until 2026-12-31"
    assert moot(replay(happened(CURE, AGAIN))) is None


@pytest.mark.parametrize(
    ("event", "held"),
    [
        (CORRECT, f"superseded: it is searched anew, since {PARENT[:12]}"),
        (NAMED, f"superseded: it is searched anew, since {PARENT[:12]}"),
        (CURE, f"superseded: it is fixed by {FIX[:12]}"),
        (DISPUTE, "None"),
        (CLAIM, "None"),
    ],
)
def test_what_an_event_holds(event: Event, held: str) -> None:
    assert str(overtaken(Record(), event, after(Record(), event, NOW))) == held


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ((), None),
        ((CLAIM,), None),
        ((CURE,), Kind.FIXED),
        ((CURE, MISSING), Kind.STABLE),
        ((CURE, DONE), Kind.PICKED),
        ((CURE, DONE, MISSING), Kind.STABLE),
        ((CURE, MISSING, DONE, MISSING), None),
        ((CURE, AGAIN), Kind.REOPENED),
        ((CURE, AGAIN, CLAIM), Kind.REOPENED),
        ((CURE, AGAIN, ACCEPT), None),
        ((ACCEPT, EXPIRE), Kind.EXPIRED),
        ((ACCEPT, EXPIRE, ACCEPT), None),
        ((CURE, RETRACT), Kind.RETRACT),
        ((CORRECT,), None),
    ],
    ids=[
        "nothing",
        "claim",
        "cure",
        "missing",
        "done",
        "done-missing",
        "missing-done-missing",
        "again",
        "again-claim",
        "again-accept",
        "expire",
        "accept-again",
        "retract",
        "corrected",
    ],
)
def test_what_is_told_late_is_where_it_stands_now(events: tuple[Event, ...], kind: Kind | None) -> None:
    wanted = telling(replay(happened(*events)))
    assert (None if wanted is None else wanted.kind) == kind


ONE_OF_THREE = replay(happened(PARTLY))


@pytest.mark.parametrize(
    ("record", "passing", "failing", "noted"),
    [
        (Record(), "", "abc", None),
        (Record(), "abc", "", None),  # that is a cure
        (Record(), "", "", None),
        (Record(), "a", "bc", PARTLY),
        (ONE_OF_THREE, "a", "bc", None),
        (ONE_OF_THREE, "a", "b", None),  # c was not run
        (ONE_OF_THREE, "a", "bcd", None),  # a larger sweep: d was not run before
        (ONE_OF_THREE, "", "bc", None),  # a was not run
        (ONE_OF_THREE, "b", "c", Partly(TIP, ("a", "b"), ("c",))),
        (ONE_OF_THREE, "", "abc", NONE_PASSES),
        (ONE_OF_THREE, "b", "a", Partly(TIP, ("b",), ("a", "c"))),
        (ONE_OF_THREE, "abc", "", None),
    ],
)
def test_partial_cures_are_noted_once_a_change(
    record: Record, passing: str, failing: str, noted: Partly | None
) -> None:
    assert partly(record, TIP, passing, failing) == noted


# -- whatever happens ----------------------------------------------------------------------------------------------

EVENT = st.sampled_from(
    [CLAIM, ANOTHER, WRONG, CURE, GONE, PARTLY, NONE_PASSES, MISSING, DONE, AGAIN, ACCEPT, EXPIRE, RETRACT, DISPUTE,
     BESIDE, CORRECT, NAMED, TRIED, OFFER, STUCK, RUNS]
)  # fmt: skip


@given(st.lists(EVENT, max_size=30))
def test_no_event_is_lost_and_the_past_gives_the_same_record(events: list[Event]) -> None:
    record, taken = Record(), []
    for i, event in enumerate(events):
        try:
            record = after(record, event, NOW + i)
        except NotNowError:
            continue
        taken.append(Happened(NOW + i, event))
    assert list(record.history) == taken
    assert replay(taken) == record


@given(st.lists(EVENT, max_size=30))
def test_what_holds_in_every_state(events: list[Event]) -> None:
    record = Record()
    numbers: list[int] = []
    for event in events:
        try:
            changed = after(record, event, NOW)
        except NotNowError as error:
            assert str(error)
            continue
        assert record.state is not State.RETRACTED, "nothing follows a retraction"
        assert not changed.state.mended or changed.cure is not None, "fixed by nothing"
        assert (changed.state is State.POSTED) <= bool(changed.claims or changed.offers)
        assert (changed.state is State.ACCEPTED) <= (changed.accepted is not None)
        if changed.wanted is not None and changed.wanted != record.wanted:
            numbers.append(changed.wanted.seq)
            if changed.wanted.kind in (Kind.FIXED, Kind.STABLE, Kind.PICKED):
                assert changed.state.mended, "only runs close it"
        record = changed
    assert numbers == sorted(set(numbers)), "a number is given once, and rises"
    assert all(number <= record.mails for number in numbers) and record.report not in numbers
