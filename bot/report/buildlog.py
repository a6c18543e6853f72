"""The page of one build: what failed first, and its log, as much as is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.model import Build, BuildStatus, Commit, Sha
from bot.report import render, words
from bot.report.history import slug
from bot.report.safe import clean, line


@dataclass(frozen=True, slots=True)
class BuildLog:
    """A build without its log, which `read` gives with the number of the line that failed first (from 0; None: that is
    not in it)."""

    build: Build
    read: Callable[[], tuple[str, int | None]]
    commit: Commit | None = None

    @property
    def path(self) -> str:
        """Its page, below the index."""
        return page_of(self.build.commit, self.build.target)


Builds = Callable[[Sha, str], BuildLog | None]
"""The build of a commit for a target whose log is worth a page; None: it is not known here."""


def none(_sha: Sha, _target: str) -> None:
    """`Builds` where none is known."""


def page_of(commit: Sha, target: str) -> str:
    name = f"{commit[:12]}-{target.removesuffix('-softmmu')}"
    return f"builds/{slug(name)}.html"


def page(of: BuildLog, *, templates: Path, now: datetime) -> str:
    """The page, HTML."""
    log, at = of.read()
    lines = clean(log).split("\n") if log.strip() else []
    steps = words.plural(of.build.steps, "step")
    failed = of.build.status is BuildStatus.FAILED
    if at is not None and at >= len(lines):
        at = None
    return render.environment(templates).get_template("build.html.j2").render(
        sha=of.build.commit[:12],
        subject=line(of.commit.subject) if of.commit else "",
        target=line(of.build.target.removesuffix("-softmmu")),
        failed=failed,
        error=clean(of.build.error or "") if failed else "",
        facts=[
            (what, line(text))
            for what, text in (
                ("Recipe", of.build.recipe),
                ("Build", f"{of.build.kind}, {steps}, {words.duration(of.build.seconds)}"),
                ("Toolchain", of.build.toolchain),
                ("Host", of.build.host),
            )
            if text
        ],
        before="\n".join(lines[:at]) if at is not None else "\n".join(lines),
        hit=lines[at] if at is not None else "",
        after="\n".join(lines[at + 1 :]) if at is not None else "",
        place=f"line {at + 1} of {len(lines)}" if at is not None else "",
        made=now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )  # fmt: skip
