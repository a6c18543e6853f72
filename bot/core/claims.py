"""Whether a commit's message, or a patch that somebody posted, says that it cures a regression.

A hint: what it says is run before anybody is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bot.core import trailers
from bot.model import Commit, Sha

_NAMES_US = re.compile(r"^[ \t]*(?:resolves|closes|fixes|link|reported-by)[ \t]*:[ \t]*(.+?)[ \t]*$", re.I | re.M)


def alike(commit: Commit) -> dict[Sha, str]:
    """A culprit with the commits that it says it was picked from, as the functions below take them: a fix of one is a
    fix of the other, and names the original."""
    whole = (sha for sha in trailers.picked_from(commit.body) if len(sha) == len(commit.sha))
    return dict.fromkeys((commit.sha, *whole), commit.subject)


def claim(commit: Commit, culprits: Mapping[Sha, str], names: Iterable[str] = ()) -> str | None:
    """What a commit's message says, as a phrase, if it is that it cures what one of the culprits brought.

    `culprits` have their subjects, for ids in messages are sometimes wrong. `names` are what a regression is called in
    our mails: addresses, Message-IDs and URLs in a `Reported-by:`, `Link:` or `Resolves:` line.
    """
    return None if commit.sha in culprits else _said(commit.body, culprits, names)


def offer(text: str, culprits: Mapping[Sha, str], names: Iterable[str] = ()) -> str | None:
    """The same of a mail with a patch, by what stands before it; None for a mail that only quotes one."""
    said, patch, _ = text.partition("\ndiff --git ")
    return _said(said, culprits, names) if patch else None


def _said(body: str, culprits: Mapping[Sha, str], names: Iterable[str]) -> str | None:
    for said in trailers.fixes(body):
        for sha, subject in culprits.items():
            if said.sha is not None and sha.startswith(said.sha):
                return f"Fixes: {said.sha}"
            if said.subject is not None and _same(said.subject, subject):
                return f'Fixes: ("{said.subject}")'
    for reverted in trailers.reverts(body):
        if any(sha.startswith(reverted) for sha in culprits):
            return f"reverts {reverted}"
    lines = [" ".join(match[0].split()) for match in _NAMES_US.finditer(body)]
    wanted = [re.compile(rf"(?<![\w.@+-]){re.escape(name)}(?![\w.@+-])", re.I) for name in names]
    return next((text for text in lines if any(name.search(text) for name in wanted)), None)


def picked(commit: Commit, original: Sha) -> bool:
    """Whether a commit's message says that it was cherry-picked from another."""
    return any(original.startswith(sha) for sha in trailers.picked_from(commit.body))


def _same(one: str, other: str) -> bool:
    """Subjects are wrapped and dotted in messages."""
    return " ".join(one.split()).rstrip(".").lower() == " ".join(other.split()).rstrip(".").lower()
