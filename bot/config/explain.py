"""What pydantic found, in words for the person who wrote the file: where, what is wrong, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.config.document import Node, Problem, dotted, shown

Schema = Mapping[str, Any]
"""A part of a JSON schema, with two keys of ours: `says`, what a value may be in words, and `keys_say`, what keys."""


def explain(model: type[BaseModel], tree: Node, error: ValidationError) -> list[Problem]:
    """One problem for each thing that pydantic found in `tree`, at the place of the value or key it is about."""
    found = error.errors(include_url=False)
    # pydantic calls a list too short when what it holds is wrong
    wrong = {e["loc"][:depth] for e in found for depth in range(len(e["loc"]))}
    found = [e for e in found if e["type"] != "too_short" or e["loc"] not in wrong]
    return [_problem(model, tree, e["type"], e["loc"], e["input"], e.get("ctx", {})) for e in found]


def _problem(
    model: type[BaseModel], tree: Node, kind: str, loc: tuple[int | str, ...], value: object, context: Schema
) -> Problem:
    bad_key = bool(loc) and loc[-1] == "[key]"
    path = loc[:-1] if bad_key else loc
    node, taken = tree.find(path)
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        names = keys(at(model, path[:-1]))
        told = f"unknown key{meant(str(path[-1]), names)} (there are {', '.join(names)})"
        return Problem(node.key_at, dotted(path), told)
    wanted = wording(at(model, path))
    if taken < len(path):  # pydantic named what is not there
        return Problem(node.at, dotted(path), f"is missing, must be {wanted}")
    if bad_key:
        keys_say = at(model, path[:-1]).get("keys_say", "text")
        return Problem(node.key_at, dotted(path), f"key is {shown(value)}, must be {keys_say}")
    told = str(context.get("error", "")) if kind == "value_error" else ""
    if kind == "tuple_type" and isinstance(value, str) and len(value) < 60:
        wanted += f", such as [{value}]"
    return Problem(node.at, dotted(path), told or f"is {shown(value)}, must be {wanted}")


def meant(name: str, names: Iterable[str]) -> str:
    """The likeliest of `names` for one that is not among them, as part of a sentence."""
    close = difflib.get_close_matches(name.lower(), list(names), n=1)
    return f", did you mean {close[0]}?" if close else ""


@cache
def _schema(model: type[BaseModel]) -> Schema:
    return model.model_json_schema()


def at(model: type[BaseModel], path: Sequence[str | int]) -> Schema:
    """The part of a model's schema that describes what stands at `path`; empty if nothing may."""
    part = _schema(model)
    for step in path:
        inner = part.get("items") if isinstance(step, int) else part.get("properties", {}).get(step)
        inner = inner or part.get("additionalProperties")
        part = _followed(model, inner) if isinstance(inner, Mapping) else {}
    return part


def _followed(model: type[BaseModel], part: Schema) -> Schema:
    """A part with its reference followed and `or null` left out."""
    if "anyOf" in part:
        part = next(choice for choice in part["anyOf"] if choice.get("type") != "null")
    if "$ref" in part:
        found: Schema = _schema(model)["$defs"][part["$ref"].rpartition("/")[2]]
        return found
    return part


def keys(part: Schema) -> list[str]:
    """The keys that a map described by this part may have."""
    return list(part.get("properties", {}))


def wording(part: Schema) -> str:
    """What a value described by this part may be."""
    if "says" in part:
        return str(part["says"])
    if "enum" in part:
        return " or ".join(", ".join(part["enum"]).rsplit(", ", 1))
    if part.get("type") == "object":
        return f"a map with {', '.join(keys(part))}" if "properties" in part else "a map"
    if part.get("type") == "boolean":
        return "true or false"
    if part.get("type") == "integer":
        return f"a whole number from {part['minimum']} to {part['maximum']}"
    if part.get("type") == "array":
        return "a list" + (" that is not empty" if part.get("minItems") else "")
    return "text"
