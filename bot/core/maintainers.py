"""Who looks after a file, by QEMU's MAINTAINERS: its patterns match as scripts/get_maintainer.pl has them match.

Only `M:` counts, whoever is to be asked about a change: not `R:`, who asked to see it, and not the lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_TAG = re.compile(r"([A-Z]):[ \t]+(\S.*?)[ \t]*$")
_PERSON = re.compile(r'"?(?P<name>[^"<]*?)"?\s*<(?P<email>[^<>\s]+@[^<>\s]+)>')
_EVERYTHING = ("*", "*/")
MIGRATION = "migration/migration.c"
"""Whoever maintains this maintains migration."""

Person = tuple[str, str]
"""Name ("" if there is none) and address."""


@dataclass(slots=True)
class Section:
    """A part of the file: people, and the patterns of what is theirs."""

    people: list[Person] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # regular expressions, anywhere in a path

    def has(self, path: str) -> bool:
        if any(_matches(pattern, path) for pattern in self.excluded):
            return False
        return any(_matches(p, path) for p in self.files) or any(_found(p, path) for p in self.names)


def maintainers(text: str, paths: Iterable[str]) -> tuple[Person, ...]:
    """Who maintains these files, by the text of MAINTAINERS: those of most of them first, else in the file's order."""
    wanted, theirs = list(paths), dict[Person, set[str]]()
    for section in _sections(text):
        had = [path for path in wanted if section.has(path)]
        for person in section.people if had else ():
            theirs.setdefault(person, set()).update(had)
    return tuple(sorted(theirs, key=lambda person: -len(theirs[person])))


def _sections(text: str) -> Iterator[Section]:
    """Sections end at a line without a tag: an empty one, or the next one's heading."""
    section = Section()
    for line in text.splitlines():
        tag = _TAG.match(line)
        if tag is None:
            yield section
            section = Section()
            continue
        match tag[1], tag[2]:
            case "M", value if person := _PERSON.match(value):
                section.people.append((person["name"].strip(), person["email"]))
            case "F", value if value not in _EVERYTHING:
                section.files.append(value)
            case "X", value:
                section.excluded.append(value)
            case "N", value:
                section.names.append(value)
    yield section


def _matches(pattern: str, path: str) -> bool:
    """A pattern of a directory is for all below it; another one for files of as many directories as it has."""
    if pattern.endswith("/"):
        return re.match(_regex(pattern), path) is not None
    if path.startswith(f"{pattern}/"):
        return True
    return pattern.count("/") == path.count("/") and re.match(_regex(pattern), path) is not None


def _regex(pattern: str) -> str:
    """`*` is any text, `?` any character, `[hc]` one of those; the end is open, as in the script."""
    parts = re.findall(r"\[[^\]/]+\]|.", pattern)
    return "".join(_SIGNS.get(part, part if len(part) > 1 else re.escape(part)) for part in parts)


_SIGNS = {"*": ".*", "?": "."}


def _found(pattern: str, path: str) -> bool:
    try:
        return re.search(pattern, path) is not None
    except re.error:  # Perl's, and not ours
        return False
