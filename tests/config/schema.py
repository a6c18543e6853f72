"""Every key that config.yaml can have, taken from the models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bot.config import Config
from bot.config.explain import at


def keys(path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every key that config.yaml can have; NAME stands for any key of a map, N for any index."""
    part = at(Config, path)
    for key in part.get("properties", {}):
        yield from keys((*path, key))
    if isinstance(part.get("additionalProperties"), Mapping):
        yield from keys((*path, "NAME"))
    elif at(Config, (*path, 0)).get("properties"):
        yield from keys((*path, 0))
    elif "properties" not in part:
        yield path
