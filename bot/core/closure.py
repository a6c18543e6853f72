"""Which commits cannot reach a binary, by what the builds of both ends of a range read.

Compilers record C sources and headers and nothing else: a script, a schema or a Makefile may have been read unseen, and
headers of the system are not recorded before 5.2 (`-MMD`), as which QEMU includes linux-headers. So a path is known to
be unread only if it is a C source of another place, is there at both ends, and neither build read it. What came and
went in between is in neither tree, and nothing is said of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from bot.core.patch import Patch
from bot.model import Change, Sha

_RECORDED = (".c", ".h", ".inc", ".m", ".cc", ".cpp")
_REGULAR = ("100644", "100755")
_INERT = re.compile(
    r"docs/.*\.(rst|txt|texi|svg|png|jpg)\Z"
    r"|tests/(?!(.*/)?(meson\.build|Kconfig|Makefile[^/]*|configure)\Z)"
    r"|\.(gitlab|github|travis|cirrus|patchew)|(MAINTAINERS|README[^/]*|COPYING[^/]*|LICENSE)\Z|.*\.(md|mailmap)\Z"
)
"""What may come and go unseen. Elsewhere a file that is new may hide another, or be found by its name."""
_SYSTEM = ("linux-headers/", "include/standard-headers/")


@dataclass(frozen=True, slots=True)
class Closure:
    """An end of a range: all paths of its tree, and those that its build read."""

    tree: Collection[str]
    read: Collection[str]


def unread(patches: Mapping[Sha, Patch], ends: tuple[Closure, Closure], nowhere: Callable[[str], bool]) -> set[Sha]:
    """Commits of which every file is unread, but for those that are `nowhere`, as manuals and tests are by their paths.

    One that has no file at all (a merge as a rule) is not among them, and no commit that is nowhere alone: of that
    nothing was recorded.
    """

    def is_unread(path: str) -> bool:
        if not path.endswith(_RECORDED) or path.startswith(_SYSTEM):
            return False
        return all(path in end.tree and path not in end.read for end in ends)

    return {
        sha
        for sha, patch in patches.items()
        if any(map(is_unread, patch.paths)) and all(is_unread(path) or nowhere(path) for path in patch.paths)
    }


def same_binary(changes: Iterable[Change], read: Collection[str]) -> bool:
    """Whether a commit makes the same binary as one that was built, by what differs and by all that this build read.

    A file that nothing opened has no say in what is built, if it was there before and is afterwards. For one that comes
    or goes that is not so sure, but for manuals and tests: a header may hide another, a directory be listed. A mode, a
    link, a submodule that changes: build it.
    """
    return all(
        change.path not in read
        and (
            (change.before == change.after and change.before in _REGULAR)
            or ({change.before, change.after} <= {"", *_REGULAR} and _INERT.match(change.path) is not None)
        )
        for change in changes
    )
