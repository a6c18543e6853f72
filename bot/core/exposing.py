"""Whether a first bad commit only shows an older fault, by its diff: it adds the check that fails, or no code at all.

A commit that prints the very error is a hardening; what it refuses was wrong before. One that only opens a development
tree or adds machine types and their compat properties makes others' changes count. Either may still be at fault, so a
person has to look: nobody is blamed for it by a mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LEAST = 12  # letters of a message that are its own, not filled in: fewer are in many messages
_SOURCE = (".c", ".h", ".inc", ".rs", ".cc", ".m", ".hx")
_IGNORED = re.compile(r"(?:docs|tests|po)/|(?:.*/)?MAINTAINERS\Z|.*\.(?:rst|md|texi)\Z")

_HUNK = re.compile(r"@@@* .*? @@@*(?: (?P<inside>.*))?\Z")
_FILE = re.compile(r"(?:\+\+\+ b|--- a)/(?P<path>.*)")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a diff: its file, how it is marked (`+`, `-` or a blank), and the text that its hunk stands in."""

    path: str
    mark: str
    text: str
    inside: str


def why(patch: str, cause: str) -> str:
    """Why a commit with this diff (`git show`, with the names of functions) may only expose a failure; empty: nothing.

    `cause` is the line that says what failed, verbatim.
    """
    lines = list(_lines(patch))
    if cause and _adds(lines, cause):
        return "it adds the check that fails: the text of the error is new with it"
    paths = {line.path for line in lines if not _IGNORED.match(line.path)}
    if paths == {"VERSION"}:
        return "it only changes VERSION"
    if paths and all(path == "VERSION" or path.endswith(_SOURCE) for path in paths) and _only_compat(lines):
        return "it only touches compat tables or the list of machine types"
    return ""


def _lines(patch: str) -> Iterator[Line]:
    path, inside, in_hunk = "", "", False
    for text in patch.splitlines():
        if text.startswith("diff --git "):
            in_hunk = False
        elif not in_hunk and (file := _FILE.match(text)):
            path = file["path"]
        elif hunk := _HUNK.match(text):
            inside, in_hunk = hunk["inside"] or "", True
        elif in_hunk and text[:1] in ("+", "-", " "):
            yield Line(path, text[0], text[1:], inside)


# -- the text of the error -----------------------------------------------------------------------------------------

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_MACRO = r"(?:PRI\w+|HWADDR_PRI\w*|HWADDR_FMT_\w+|TARGET_FMT_\w+|TARGET_PRI\w+|VADDR_PRI\w*|RAM_ADDR_FMT)"
_CHAIN = re.compile(rf"{_STRING}(?:\s*(?:{_MACRO}\s*)*{_STRING})*")
_JOINT = re.compile(rf'(?<!\\)"\s*((?:{_MACRO}\s*)*)"')
_FILLED = re.compile(r"%[-+ #0']*[\d*]*(?:\.[\d*]+)?(?:hh|h|ll|l|j|z|t|L)?[a-zA-Z%]|%\Z|%?\0|\{[\w:#?.]*\}")
_ASSERTION = re.compile(
    r"Assertion [`'\u2018\"](?P<c>.+)['\u2019`\"] failed|assertion failed:? ?\(?(?P<glib>.+?)\)?(?::|\Z)"
)


def _adds(lines: Iterable[Line], cause: str) -> bool:
    source = [line for line in lines if line.path.endswith(_SOURCE)]
    added, removed = (_text(source, mark) for mark in "+-")
    if assertion := _ASSERTION.search(cause):
        wanted = re.compile(rf"assert\w*\({re.escape(_squeezed(assertion['c'] or assertion['glib']))}\)")
        return bool(wanted.search(_squeezed(added))) and not wanted.search(_squeezed(removed))
    return _prints(added, cause) and not _prints(removed, cause)


def _text(lines: Iterable[Line], mark: str) -> str:
    return "\n".join(line.text for line in lines if line.mark == mark)


def _squeezed(text: str) -> str:
    """Without blanks, and without the commas of g_assert_cmpint(a, ==, b)."""
    return re.sub(r"[\s,]+", "", text)


def _prints(code: str, cause: str) -> bool:
    """Whether a message of the code, whatever is filled in, is what the line says."""
    for chain in _CHAIN.finditer(code):
        text = _JOINT.sub(lambda joint: "\0" if joint[1] else "", chain[0][1:-1])
        text = text.replace("\\n", "").replace('\\"', '"').strip()
        parts = _FILLED.split(text)
        if sum(c.isalpha() for part in parts for c in part) >= _LEAST and _in_order(parts, cause):
            return True
    return False


def _in_order(parts: Iterable[str], text: str) -> bool:
    """Whether a text has all parts, one behind the other."""
    at = 0
    for part in parts:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True


# -- machine types and their properties ----------------------------------------------------------------------------

_OPENS = re.compile(
    r"(?:static |const |extern )*(?:GlobalProperty|size_t)\s+\w*compat\w*"
    r"|#\s*define \w*_COMPAT_\d"
    r"|(?:static )?(?:inline )?void \w*machine_\w*\d\w*options\("
    r"|DEFINE_\w*MACHINE\w*\("
)
_NOTHING = re.compile(r"\s*(?:/?\*.*|//.*|[{}();]*)\Z")


def _only_compat(lines: Iterable[Line]) -> bool:
    """Whether every changed line stands in a table of compat properties or in what defines a machine type."""
    hunk, inside, changed = object(), False, False
    for line in lines:
        if line.path == "VERSION" or _IGNORED.match(line.path):
            continue
        if (line.path, line.inside) != hunk:
            hunk, inside = (line.path, line.inside), bool(_OPENS.match(line.inside))
        if line.text[:1].strip() and not line.text.startswith(("}", "{", "/", "*", "#endif")):
            inside = bool(_OPENS.match(line.text))
        if line.mark != " " and not _NOTHING.match(line.text):
            if not inside:
                return False
            changed = True
        if line.text.startswith("}"):
            inside = False
    return changed
