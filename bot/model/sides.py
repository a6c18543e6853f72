"""Words of the side test: which side of a migration brought a failure, the commits searched or the pinned release."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.model.smoke import Sha


class By(StrEnum):
    """What a first bad commit has to do with the failure."""

    INTRODUCED = "introduced-by"
    EXPOSED = "exposed-by"  # it shows a fault that is somewhere else: no `Fixes:`, no mail to its author


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a first bad commit is answerable for, and why that is said, as a sentence; empty: nothing was tried."""

    by: By = By.INTRODUCED
    why: str = ""


class SideTests(StrEnum):
    """What becomes of a search whose pinned side has to be searched."""

    TURN = "turn"  # that side's branch is searched instead
    TELL = "tell"  # it is made all the same; what it finds is "exposed by"
    OFF = "off"  # nobody looks


class Side(StrEnum):
    """The side that is to be searched."""

    COMMIT = "commit"  # the one that varies in the range asked about
    PINNED = "pinned"  # the release that stands on the other side in each run
    UNSETTLED = "unsettled"


class Place(StrEnum):
    """Where a sibling stands beside the pinned release."""

    OLDER_POINT = "older point release"
    SAME = "another build of the same release"
    NEWER_POINT = "later point release"
    OLDER = "older release"
    NEWER = "later release"


class Answer(StrEnum):
    """What came of the failing case with a sibling in the place of the pinned release."""

    PASSES = "passes"
    ALIKE = "fails alike"
    NOTHING = "says nothing"  # it cannot run the case, or fails in another way


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another release in the place of the pinned one: `bad` of `n` runs showed the failure that is asked about."""

    name: str  # as readers call it
    place: Place
    answer: Answer
    bad: int = 0
    n: int = 0
    why: str = ""  # why it says nothing


@dataclass(frozen=True, slots=True)
class Branch:
    """The pinned side's own range: a sibling that passes, and the pinned release that fails."""

    good_name: str
    good: Sha
    bad_name: str
    bad: Sha


@dataclass(frozen=True, slots=True)
class SideTest:
    """The failing case of the bad end, repeated with siblings of the pinned release, and what that says.

    `why` is a sentence, `role` the pinned side's part (source, destination); `bad` of `n` runs of the pinned release
    failed. `branch` is what is to be searched of the pinned side, if its commits are known, and `advice` what a person
    can do.
    """

    side: Side
    why: str
    pinned: str
    role: str
    bad: int = 0
    n: int = 0
    siblings: tuple[Sibling, ...] = ()
    branch: Branch | None = None
    advice: str = ""
