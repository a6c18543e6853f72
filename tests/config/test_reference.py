"""docs/configuration.md has every key, with the type and default that it really has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bot.config import Config
from bot.config.document import read_file
from bot.config.explain import at, wording
from bot.data import data_dir
from tests.config.schema import keys

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def rows() -> dict[str, tuple[str, str]]:
    """Key -> (type, shipped value) of each row of the tables in the reference."""
    found = {}
    for line in REFERENCE.read_text().splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|")]
            assert len(cells) == 4, line
            assert cells[0].strip("`") not in found, f"{cells[0]} is there twice"
            assert len(cells[3]) > 10, f"{cells[0]} says nothing"
            found[cells[0].strip("`")] = (cells[1], cells[2].strip("`"))
    return found


def spelt(path: tuple[str | int, ...]) -> str:
    return ".".join("N" if step == 0 else str(step) for step in path)


def default(path: tuple[str | int, ...]) -> str:
    """The shipped value as JSON would write it, or what the reference says instead."""
    if any(step in ("NAME", 0) for step in path):
        return "-" if required(path) else optional(path)
    tree, _ = read_file(data_dir() / "config.yaml")
    assert tree is not None
    value = tree.find(path)[0].plain()
    if value is None:
        return "null"
    return str(value) if isinstance(value, str) else "see config.yaml"


def required(path: tuple[str | int, ...]) -> bool:
    return path[-1] == "NAME" or path[-1] in at(Config, path[:-1]).get("required", [])


def optional(path: tuple[str | int, ...]) -> str:
    value: Any = at(Config, path[:-1])["properties"][path[-1]].get("default")
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list) and value:
        return "[" + ", ".join(value) + "]"
    empty = "{}" if at(Config, path).get("type") == "object" else "null"
    return json.dumps(value) if value is not None else empty


def test_the_reference_has_every_key_with_its_type_and_value() -> None:
    written = rows()
    wanted = {spelt(path): path for path in keys()}
    assert sorted(written) == sorted(wanted)
    for key, path in wanted.items():
        kind = wording(at(Config, path)).split(" such as ")[0].removeprefix("a ").removeprefix("an ")
        assert written[key] == (kind, default(path)), f"docs/configuration.md: {key}"
