"""A search as a text that two programs can replay.

`git bisect replay` reads the commands: the conclusion, not the diary, for it keeps the last bad line. Per commit one
verdict, goods, then skips, then bads from the tip down to the first bad one. In the log of a search for a fix good is
called fixed, and bad broken. `parse` reads the comments: the question,
every run, and the range's parents, which is all that the fold needs to come to the same finding without git or QEMU.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot.bisect.runner import Search
from bot.core.bisection import Bisection
from bot.core.confirmation import Rules
from bot.core.dag import Dag
from bot.errors import UserError
from bot.model import (
    Attribution,
    Commit,
    Finding,
    FirstBad,
    FirstFixed,
    MergeConflict,
    Question,
    Run,
    Sha,
    Suspects,
    Verdict,
)

_FORMAT = 1
_DATA = "# bot: "
_COMMIT = "# commit: "
_WEIGHT = "~"  # before the weight that a commit had before the first probe, if they were not all the same
_FIX = {Verdict.GOOD: "fixed", Verdict.BAD: "broken"}  # git bisect's terms of a search for a fix
_HEX = re.compile(r"[0-9a-f]{40}\Z")
_LEFT_OUT = {"observation": {"logs", "argv"}}  # long, and no verdict comes from it


@dataclass(frozen=True, slots=True)
class _Header:
    """The first data line of a log."""

    format: int
    question: Question
    rules: Rules
    merge_base: Sha | None = None
    attribution: Attribution = field(default_factory=Attribution)


@dataclass(frozen=True, slots=True)
class _Entry:
    """The other data lines: one run each."""

    run: Run


_header = TypeAdapter(_Header)
_entry = TypeAdapter(_Entry)


@dataclass(frozen=True, slots=True)
class Logged:
    """A search as its log has it."""

    question: Question  # as it was asked: without a signature if that was learnt
    merge_base: Sha | None
    rules: Rules
    parents: Mapping[Sha, tuple[Sha, ...]]
    runs: tuple[Run, ...]
    prior: Mapping[Sha, float] | None = None
    attribution: Attribution = field(default_factory=Attribution)  # of the first bad commit: it is no fold's to say

    def replay(self) -> Bisection:
        """The state after all runs: the same verdicts, suspects and finding as when it was searched."""
        dag = Dag.of(self.parents)
        state = Bisection.start(self.question, dag, merge_base=self.merge_base, rules=self.rules, prior=self.prior)
        for run in self.runs:
            state = state.observe(run)
        return state


def render(search: Search, commits: Mapping[Sha, Commit]) -> str:
    """The log of a search; subjects are shown of the commits given."""
    state = search.bisection
    subjects = {sha: _plain(commit.subject) for sha, commit in commits.items()}
    terms = _FIX if state.question.cured else {}
    asked = ["--first-parent"] * state.dag.first_parent
    asked += ["--term-old", terms[Verdict.BAD], "--term-new", terms[Verdict.GOOD]] if terms else []
    lines = [" ".join(["git bisect start", *(f"'{word}'" for word in asked)])]
    lines += [f"# {line}" for line in _diary(search, subjects)]
    for sha, verdict in _conclusion(state):
        term = terms.get(verdict, str(verdict))
        lines += [f"# {term}: [{sha}] {subjects.get(sha, '')}".rstrip(), f"git bisect {term} {sha}"]
    sought = terms.get(Verdict.GOOD, "bad")
    lines += [f"# {line}" for line in _ending(search.finding, subjects, sought)]
    given = search.finding.attribution if isinstance(search.finding, FirstBad) else Attribution()
    header = _Header(_FORMAT, state.question, state.rules, state.merge_base, given)
    lines.append(_DATA + _json(_header, header))
    lines += [_DATA + _json(_entry, _Entry(run)) for run in state.runs]
    lines += [_COMMIT + " ".join((sha, *its, *_share(state, sha))) for sha, its in state.dag.parents.items()]
    return "\n".join(lines) + "\n"


def _share(state: Bisection, sha: Sha) -> tuple[str, ...]:
    return () if state.prior is None else (f"{_WEIGHT}{state.prior[sha]!r}",)


def _conclusion(state: Bisection) -> Iterator[tuple[Sha, Verdict]]:
    """One verdict per commit, in the order in which git must hear them: old ones, skipped ones, new ones.

    Tested parents outside the range are among them, for git wants a merge base of good and bad to be good. A bad commit
    without a suspect in its history (an older failure, cured since) is not: it would end git elsewhere. Of a fix the
    good ones are new.
    """
    dag = state.dag
    suspects = sum(dag.bit(sha) for sha in state.suspects)
    ends = [sha for sha in (state.question.good, state.merge_base) if sha]
    outside = dict.fromkeys([*ends, *(p for its in dag.parents.values() for p in its if p not in dag)])
    place = {sha: i for i, sha in enumerate((*outside, *dag.commits))}
    tested = sorted((sha for sha in state.counts if sha in place), key=place.__getitem__)
    for wanted in (state.old, Verdict.SKIP):
        yield from ((sha, wanted) for sha in tested if state.verdict(sha) is wanted)
    for sha in reversed(tested):
        if state.verdict(sha) is state.new and (sha in ends or (sha in dag and dag.ancestors(sha) & suspects)):
            yield sha, state.new


def _diary(search: Search, subjects: Mapping[Sha, str]) -> Iterator[str]:
    """What was asked, and why, in the order it was asked."""
    question, counts = search.question, search.counts
    yield f"case {_plain(question.case.id)}, bad means {_plain(str(question.signature or 'any failure'))}"
    yield f"{search.range_size} commits, {counts.steps} asked, {counts.builds} built, {counts.runs} runs"
    for number, step in enumerate(search.steps, 1):
        seen = search.bisection.count(step.commit)
        what = f"{seen.bad} bad of {seen.n}" if seen.n else str(step.runs[-1].outcome if step.runs else "not run")
        yield f"{number:3} {step.commit[:12]} {step.verdict} ({what}), {step.why}: {subjects.get(step.commit, '')}"


def _ending(finding: Finding, subjects: Mapping[Sha, str], sought: str) -> list[str]:
    """The finding, in git's words where git has some."""
    if isinstance(finding, FirstFixed):
        return [f"first fixed commit: [{finding.commit}] {subjects.get(finding.commit, '')}".rstrip()]
    if isinstance(finding, FirstBad | MergeConflict):
        said = [f"first bad commit: [{finding.commit}] {subjects.get(finding.commit, '')}".rstrip()]
        if isinstance(finding, FirstBad) and finding.attribution.why:
            said.append(_plain(f"{finding.attribution.by}: {finding.attribution.why}"))
        return said
    if isinstance(finding, Suspects):
        possible = [f"possible first {sought} commit: [{s}] {subjects.get(s, '')}".rstrip() for s in finding.commits]
        return ["only skipped commits left to test", *possible]
    return [_plain(f"no first {sought} commit: {finding}")]


def _json(adapter: TypeAdapter[Any], value: object) -> str:
    """One line of JSON; pydantic escapes control characters, so no text in it can end the line."""
    exclude = {"run": _LEFT_OUT} if isinstance(value, _Entry) else None
    return adapter.dump_json(value, exclude=exclude, exclude_defaults=True).decode()


def _plain(text: str) -> str:
    """Text from outside as part of one line."""
    return "".join(c if c.isprintable() else " " for c in text)


def parse(text: str, name: str = "log") -> Logged:
    """What `render` wrote. Raises `UserError` naming the line that cannot be read, or what is missing."""
    header: _Header | None = None
    runs: list[Run] = []
    parents: dict[Sha, tuple[Sha, ...]] = {}
    prior: dict[Sha, float] = {}
    for number, line in enumerate(text.split("\n"), 1):
        try:
            if line.startswith(_COMMIT):
                sha, *its = line.removeprefix(_COMMIT).split()
                if its and its[-1].startswith(_WEIGHT):
                    prior[sha] = float(its.pop().removeprefix(_WEIGHT))
                parents[_sha(sha)] = tuple(map(_sha, its))
            elif line.startswith(_DATA) and header is None:
                header = _header.validate_json(line.removeprefix(_DATA))
            elif line.startswith(_DATA):
                runs.append(_entry.validate_json(line.removeprefix(_DATA)).run)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(f"{name}:{number}: {where or 'data'}: {first['msg']}; was the log edited?") from error
        except ValueError as error:
            raise UserError(f"{name}:{number}: {error}") from error
    if header is None:
        raise UserError(f"{name}: no line starts with {_DATA!r}: give a log that `bot bisect` wrote, whole")
    if header.format != _FORMAT:
        raise UserError(
            f"{name}: the log has format {header.format}, this bot reads {_FORMAT}: take the bot it is from"
        )
    logged = Logged(
        header.question, header.merge_base, header.rules, parents, tuple(runs), prior or None, header.attribution
    )
    try:
        logged.replay()
    except ValueError as error:
        raise UserError(f"{name}: the lines {_COMMIT!r} are not whole: {error}") from error
    return logged


def _sha(text: str) -> Sha:
    if not _HEX.match(text):
        raise ValueError(f"{text!r} is no commit id of 40 hex digits")
    return text
