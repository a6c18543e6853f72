"""Findings of QEMU's own static scripts, read in as hints: vmstate-static-checker.py and compare-machine-types.py."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from itertools import combinations

from bot.core.hints import Effect, Hint


class FindingsError(ValueError):
    """A text that none of the scripts has written, with the place."""


# Of a version that is too old without a description the script prints only this, and goes on in the same line.
_CUT = r'(?:Section "[^"]*"\s+)*'
_LINE = re.compile(
    _CUT + r'Section "(?P<section>[^"]*)"[,:]?\s*(?:Description "(?P<vmsd>[^"]*)"[,:]?\s*)?'
    r'(?:Field "(?P<field>[^"]*)":?\s*)?(?P<what>\S.*)'
)
_WARNING = re.compile(r"Warning: (?P<what>checking incompatible machine types: .*)")
_KINDS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("section", r"does not exist in dest$"),
        ("minimum-version", r"minimum version error:"),
        ("section-version", r"version error:"),
        ("field", r"size mismatch:|expected field |missing description$|missing, got "),
        ("subsection", r'Subsection "[^"]*" not found$'),
        ("field", r'Entry "[^"]*" missing$'),
    )
)


def read_checker(text: str, effect: Effect = Effect.FORWARD) -> tuple[Hint, ...]:
    """What vmstate-static-checker.py printed, a hint a line.

    It compares in one direction, source to destination; `effect` says which that was. Raises `FindingsError` for a
    line that it does not write.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if re.fullmatch(_CUT, line.strip() + " ") or not line.strip():
            continue
        warning = _WARNING.fullmatch(line.strip())
        if warning:
            found.append(Hint("configuration", "", "", warning["what"]))
            continue
        match = _LINE.fullmatch(line.strip())
        kind = next((kind for kind, pattern in _KINDS if match and pattern.match(match["what"])), None)
        if match is None or kind is None:
            raise FindingsError(f"line {number}: not written by vmstate-static-checker.py: {line.strip()[:80]}")
        inside = f"{match['vmsd']}: " if match["vmsd"] not in (None, match["section"]) else ""
        field = f"{match['field']}: " if match["field"] else ""
        found.append(Hint(kind, "", match["section"], inside + field + " ".join(match["what"].split()), effect))
    return tuple(found)


_NO_VALUE = ("Unavailable method", "Unavailable driver", "No default value")  # the script could not find it out
_NO_PROPERTY = "Unknown property"


def read_machine_types(text: str) -> tuple[Hint, ...]:
    """The table of compare-machine-types.py (--format json or csv): properties that one machine type has otherwise.

    Only columns of the same machine type and different binaries are compared, the earlier being the old one. Raises
    `FindingsError`.
    """
    table = _from_json(text) if text.lstrip().startswith("{") else _from_csv(text)
    if "Driver" not in table or "Property" not in table:
        raise FindingsError("no columns Driver and Property: give compare-machine-types.py --format json or csv")
    found = []
    for one, other in combinations([name for name in table if "\n" in name], 2):
        (binary, machine), (newer, same) = one.rsplit("\n", 1), other.rsplit("\n", 1)
        if machine == same and binary != newer:
            rows = zip(table["Driver"], table["Property"], table[one], table[other], strict=True)
            for driver, name, old, new in rows:
                found += _property(machine, driver, name, old, new)
    return tuple(found)


def _property(machine: str, driver: str, name: str, old: str, new: str) -> list[Hint]:
    if _plain(old) == _plain(new) or old in _NO_VALUE or new in _NO_VALUE:
        return []
    detail = f"property {name}: {old} -> {new}"
    return [Hint("property", machine, driver, detail, None if _NO_PROPERTY in (old, new) else Effect.BOTH)]


def _plain(value: str) -> str | int:
    """The value as it can be compared: `on` is True, 0x10 is 16."""
    text = {"on": "true", "off": "false"}.get(value.lower(), value.lower())
    try:
        return int(text, 0)
    except ValueError:
        return text


def _from_json(text: str) -> Mapping[str, Sequence[str]]:
    """pandas writes {column: {row: value}}."""
    try:
        table = json.loads(text)
        rows = list(table["Driver"])
        return {name: [str(column[row]) for row in rows] for name, column in table.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FindingsError(f"not a table of compare-machine-types.py: {error!r}") from error


def _from_csv(text: str) -> Mapping[str, Sequence[str]]:
    """pandas writes the row's number first."""
    try:
        head, *rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row] or [[]]
    except csv.Error as error:
        raise FindingsError(f"not a table of compare-machine-types.py: {error}") from error
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise FindingsError(f"row {number}: {len(row)} values, the table has {len(head)} columns")
    return {name: [row[i] for row in rows] for i, name in enumerate(head)}
