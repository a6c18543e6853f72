"""config.yaml -> frozen models. Every wrong value is told with its place, all at once; nothing below re-checks them.

Layers, the later wins: the shipped config.yaml, the user's, variables `BOT__SECTION__KEY`, `--set section.key=value`.
docs/configuration.md describes every key; a test holds it against the models here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from bot.config.document import Node, Place, Problem, dotted, merge, parse, put, read_file, shown, split_override
from bot.config.explain import at, explain, meant, wording
from bot.config.sections import SWEEPS, Config
from bot.config.values import ALL, NEWEST
from bot.data import data_dir
from bot.errors import UserError

__all__ = ["NEWEST", "SWEEPS", "Config", "find", "load"]

_PREFIX = "BOT__"


def find(path: Path | None = None) -> Path | None:
    """The user's config file: `path` if given, else ./config.yaml if it is there, else none (the shipped one alone)."""
    if path is not None:
        return path
    here = Path("config.yaml")
    return here if here.exists() else None


def load(path: Path | None = None, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration: shipped defaults, then `find(path)`, then `BOT__...` of `environ`, then `overrides`.

    Raises `UserError` with one line for each thing that is wrong: `config.yaml:LINE:COL: key: what, what is allowed`.
    """
    tree, problems = _shipped(data_dir() / "config.yaml"), list[Problem]()
    file = find(path)
    if file is not None:
        mine, found = read_file(file)
        problems += found
        if mine is not None and (mine.value is None or isinstance(mine.value, Mapping)):
            tree = merge(tree, mine)
        elif mine is not None:
            problems.append(Problem(mine.at, "", f"is {shown(mine.plain())}, must be {wording(at(Config, ()))}"))
    for step in (*_from_environment(environ), *_from_overrides(overrides)):
        tree = _overridden(tree, step, problems)
    config = _validated(tree, problems)
    if config is None or problems:
        problems.sort(key=lambda problem: problem.place)
        raise UserError("\n".join(dict.fromkeys(map(str, problems))))
    return config


@cache
def _shipped(path: Path) -> Node:
    tree, problems = read_file(path)
    if tree is None or problems:
        raise UserError("\n".join(map(str, problems)))
    return tree


_Override = tuple[Place, tuple[str, ...], str] | Problem


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Override]:
    for name in sorted(environ):
        if name.startswith(_PREFIX):
            yield Place(name), tuple(name.removeprefix(_PREFIX).lower().split("__")), environ[name]


def _from_overrides(overrides: Sequence[str]) -> Iterator[_Override]:
    for text in overrides:
        try:
            key, steps, value = split_override(text)
        except Problem as problem:
            yield problem
        else:
            yield Place(f"--set {key}"), tuple(steps), value


def _same(step: str, key: str) -> bool:
    """Whether a step means a key: a variable's name is in capitals and cannot hold a dash."""
    return step.lower().replace("-", "_") == key.lower().replace("-", "_")


def _overridden(tree: Node, override: _Override, problems: list[Problem]) -> Node:
    if isinstance(override, Problem):
        problems.append(override)
        return tree
    place, steps, text = override
    value, found = parse(text, lambda line, column: place, Path.cwd())
    problems += found
    if value is None:
        return tree
    if not text.strip():
        value = Node(None, place, place)
    try:
        return put(tree, steps, value, _same if place.source.startswith(_PREFIX) else str.__eq__)
    except Problem as problem:
        problems.append(problem)
        return tree


def _validated(tree: Node, problems: list[Problem]) -> Config | None:
    try:
        config = Config.model_validate(tree.plain())
    except ValidationError as error:
        problems += explain(Config, tree, error)
        return None
    problems += [Problem(tree.find(path)[0].at, dotted(path), text) for path, text in _contradictions(config, tree)]
    return config


def _contradictions(config: Config, tree: Node) -> Iterator[tuple[Sequence[str | int], str]]:
    """Values that are right each, but not together."""
    there = config.profile_options
    for sweep in SWEEPS:
        for i, name in enumerate(config.sweep(sweep).profiles):
            if name not in there:
                told = f"no profile {shown(name)}{meant(name, there)} (there are {', '.join(there)})"
                yield (sweep, "profiles", i), told
    if ALL in there:
        yield ("profiles", ALL), f'the name "{ALL}" stands for every profile, must be another'
    for name, entry in config.expected_entries.items():
        if entry.expires is None and entry.until is None:
            yield ("expected", name), "has no end, must have expires (a date) or until (the commit that mends it)"
    names = {
        ("baselines",): [b.name for b in config.baselines],
        ("build", "recipes"): [r.name for r in config.build.recipes],
    }
    for section, given in names.items():
        for i, name in enumerate(given):
            if name in given[:i]:
                yield (*section, i, "name"), f"{shown(name)} is there twice, must be unique"
    if config.bisect.min_runs > config.bisect.max_runs:
        shipped = str(data_dir() / "config.yaml")
        ends = [("bisect", "min_runs"), ("bisect", "max_runs")]
        told = f"min_runs {config.bisect.min_runs} is more than max_runs {config.bisect.max_runs}, must not be"
        yield next((end for end in ends if tree.find(end)[0].at.source != shipped), ends[0]), told
