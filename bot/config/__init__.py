"""config.yaml -> frozen models. Every wrong value is told with its place, all at once; nothing below re-checks them.

Layers, the later wins: the shipped config.yaml, the user's, variables `BOT__SECTION__KEY`, `--set section.key=value`.
docs/configuration.md describes every key; a test holds it against the models here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parseaddr
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from bot.config.document import Node, Place, Problem, dotted, merge, parse, put, read_file, shown, split_override
from bot.config.explain import at, explain, meant, wording
from bot.config.sections import Config
from bot.config.values import ALL, NEWEST
from bot.data import data_dir
from bot.errors import UserError
from bot.model import SWEEPS

__all__ = ["NEWEST", "Config", "find", "load"]

_PREFIX = "BOT__"
_ELSEWHERE_IN_THE_CLEAR = re.compile(r"http://(?!(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$))")
_STANDING = {"mail": "mails", "gitlab": "issues", "operator": "mails to report.operator"}
"""What names of destinations stand for that are no webhooks."""
_SECRETS = {"SMTP": "report.smtp", "GITLAB": "report.gitlab"}
"""Whose the variables BOT_SECRET_... are."""


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
    yield from _unsendable(config)
    yield from _unreadable(config)
    if config.bisect.min_runs > config.bisect.max_runs:
        shipped = str(data_dir() / "config.yaml")
        ends = [("bisect", "min_runs"), ("bisect", "max_runs")]
        told = f"min_runs {config.bisect.min_runs} is more than max_runs {config.bisect.max_runs}, must not be"
        yield next((end for end in ends if tree.find(end)[0].at.source != shipped), ends[0]), told


def _unreadable(config: Config) -> Iterator[tuple[Sequence[str | int], str]]:
    """What would have anybody give commands in the name of others: a From can be forged."""
    if config.replies.mailbox.path is not None and config.replies.trusted is None:
        told = "is given, so replies.trusted must be: the mail server whose Authentication-Results are believed"
        yield ("replies", "mailbox", "path"), told


def _unsendable(config: Config) -> Iterator[tuple[Sequence[str | int], str]]:
    """What would keep mails from going out, or send a password in the clear."""
    report = config.report
    if report.operator is not None:
        yield from _unreachable(config, report.operator)
    if report.send != "never" and not (report.domains or report.test_to or report.operator):
        told = f'is {report.send}, must be never while report.domains is empty: name those that may get mail, or "*"'
        yield ("report", "send"), told
    if report.smtp.user is not None and report.smtp.tls == "none":
        told = "is none, must not be where report.smtp.user is given: its password would be seen"
        yield ("report", "smtp", "tls"), told
    if report.caps.hour > report.caps.day:
        told = f"hour {report.caps.hour} is more than day {report.caps.day}, must not be"
        yield ("report", "caps", "hour"), told
    for name, what in _STANDING.items():
        if name in report.webhooks:
            yield ("report", "webhooks", name), f'the name "{name}" stands for {what}, must be another'
    yield from _shared(config)
    if report.gitlab.settings is not None and _ELSEWHERE_IN_THE_CLEAR.match(report.gitlab.url):
        yield ("report", "gitlab", "url"), "is http://, must be https://: the token would be seen"


def _shared(config: Config) -> Iterator[tuple[Sequence[str | int], str]]:
    """Webhooks that would be sent another's password, for both look into one variable."""
    owners = dict[str, str]()
    for hook in config.post_settings.webhooks:
        own = f"report.webhooks.{hook.name}"
        owner = _SECRETS.get(hook.secret) or (own if hook.token_file else owners.setdefault(hook.secret, own))
        if owner != own and hook.name not in _STANDING:
            variable = f"BOT_SECRET_{hook.secret}"
            told = f'the name "{hook.name}" is for the variable {variable}, as {owner} is, must be another'
            yield ("report", "webhooks", hook.name), told


def _unreachable(config: Config, operator: str) -> Iterator[tuple[Sequence[str | int], str]]:
    """An operator that no mail would reach, or one who is a list."""
    own = parseaddr(operator)[1].lower()
    if config.report.send == "never":
        yield ("report", "operator"), "is given, so report.send must be smtp or sendmail: nothing is sent"
    if any(parseaddr(text)[1].lower() == own for text in config.report.lists):
        yield ("report", "operator"), "is one of report.lists, must be a person's address: it gets no news for others"
