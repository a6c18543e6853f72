"""What becomes of a regression's issue in a tracker: one table, rows are kinds of news.

A regression has one issue. Whatever is told of it first opens it, the rest is comments on it; some news close or reopen
it. Each step is asked for only as far as it is not done already, so that after a lost answer the same news can be told
again: what is there stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256

from bot.core.gate import Kind

_NAMED = re.compile(r"#\d+ (https?://\S+?)(?:/-)?/(?:issues|work_items)/(\d+)\Z")


@dataclass(frozen=True, slots=True)
class Effect:
    """What one kind of news does: `opens` an issue if there is none; `closed` as it has to be after it, None: as it is.

    All of it is a comment where the issue is there.
    """

    opens: bool = False
    closed: bool | None = None


EFFECTS: Mapping[str, Effect] = {
    Kind.REPORT: Effect(opens=True),
    Kind.EXPOSED: Effect(opens=True),
    Kind.RANGE: Effect(opens=True),
    Kind.MERGE: Effect(opens=True),
    "fixed": Effect(closed=True),
    "stable": Effect(),
    "fixed-in-stable": Effect(),
    "reopened": Effect(closed=False),
    "expired": Effect(),
    "retract": Effect(closed=True),
    "corrected": Effect(),
}
"""By the kind of mail. One that is not named here is a comment."""

ALL = "all"
"""In the place of a kind: every one."""


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue as it is now. `told`: it says this news already."""

    number: int
    closed: bool
    labels: frozenset[str]
    told: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left to do. `closed`: None as it is; `labels`: those to add; `gone`: those to take away."""

    create: bool = False
    comment: bool = False
    closed: bool | None = None
    labels: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class NoIssueError(ValueError):
    """The news are about an issue that is not there."""


def plan(kind: str, labels: Mapping[str, Collection[str]], issue: Issue | None) -> Plan:
    """What telling news of this kind takes; `labels` are those to add by the kind of news, and for `all`.

    News that reopen an issue take away what those that close one have added.

    Raises `NoIssueError` for a follow-up where no issue was opened.
    """
    effect = EFFECTS.get(kind, Effect())
    wanted = tuple(dict.fromkeys((*labels.get(ALL, ()), *labels.get(kind, ()))))
    if issue is None:
        if not effect.opens:
            raise NoIssueError(f"there is no issue of this regression to tell of {kind!r} on")
        return Plan(create=True, labels=wanted)
    untrue = [kind for kind, other in EFFECTS.items() if other.closed and effect.closed is False]
    gone = dict.fromkeys(label for kind in untrue for label in labels.get(kind, ()) if label not in wanted)
    return Plan(
        comment=not issue.told,
        closed=effect.closed if effect.closed != issue.closed else None,
        labels=tuple(label for label in wanted if label not in issue.labels),
        gone=tuple(label for label in gone if label in issue.labels),
    )


def word(*parts: str) -> str:
    """One word of letters and digits that stands for these texts: what a tracker is searched for.

    A Message-ID would not do: searches split it at its signs, and find its parts in others.
    """
    return "migbot" + sha256("\0".join(parts).encode()).hexdigest()[:20]


def named(number: int, url: str) -> str:
    """An issue, as the answer to news calls it."""
    return f"#{number} {url}".rstrip()


def addresses(said: str) -> tuple[str, ...]:
    """The URLs by which people name the issue that an answer names; none if it names no issue of GitLab's.

    GitLab has had several for the same issue, and leads each to the one of today.
    """
    found = _NAMED.search(said)
    if found is None:
        return ()
    project, number = found.groups()
    return tuple(f"{project}/{way}/{number}" for way in ("-/issues", "issues", "-/work_items"))
