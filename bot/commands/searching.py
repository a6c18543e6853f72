"""`bot bisect`, `bot replay`: which commit it was."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.commands.foreground import stopping, watching
from bot.errors import UserError
from bot.model import PRECOPY, SideTests
from bot.options import FILE, REPO, Settings, Typed, case_options, side_options

if TYPE_CHECKING:
    from bot.pipeline.asking import Sides


@click.command()
@click.argument("range_", metavar="GOOD..BAD", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
@case_options
@side_options
@REPO
@click.option("--plan", is_flag=True, help="Say commits, builds, minutes and disk, then stop.")
@click.option("--out", type=FILE, metavar="DIR", help="Where mail, JSON, log and page go.  [default: WORK/out]")
@click.option("--symptom", type=FILE, metavar="FILE", help="Bad means the failure that this log tells of; - for stdin.")
@click.option("--skip", multiple=True, metavar="REV", help="A commit that is not to be tested. Repeatable.")
@click.option("--runs", type=click.IntRange(3), metavar="N", help="Run culprit and parents at least so often.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), metavar="K", help="Test K commits at a time.  [default: bisect.jobs]"
)
@click.option("--first-parent", is_flag=True, help="Search merges of master alone, each as a whole.")
@click.option("--find-fix", is_flag=True, help="Find what cured the failure: OLD..NEW, where OLD fails and NEW passes.")
@click.option("--log", type=FILE, metavar="FILE", help="Write the log, for `git bisect replay`, however it ends.")
@click.option(
    "--sibling",
    "siblings",
    multiple=True,
    metavar="NAME|REF|PATH",
    help="What the side test puts in the pinned release's place. Repeatable.  [default: found in clone and config]",
)
@click.option(
    "--side-test",
    type=click.Choice([s.value for s in SideTests]),
    default=SideTests.TURN.value,
    show_default=True,
    help="If the pinned release alone fails: turn to its branch; or tell, and search GOOD..BAD; off: do not look.",
)
@click.option("--resume", is_flag=True, help="Go on with the last bisection that did not come to its end.")
@click.pass_obj
def bisect(
    settings: Settings, range_: str | None, command: tuple[str, ...], typed: Typed, sides: Sides, repo: Path | None,
    plan: bool, out: Path | None, symptom: Path | None, skip: tuple[str, ...], runs: int | None, jobs: int | None,
    first_parent: bool, find_fix: bool, log: Path | None, siblings: tuple[str, ...], side_test: str, resume: bool,
) -> int:  # fmt: skip
    """Find the first bad commit of GOOD..BAD, and confirm it.

    GOOD and BAD are any git revision, or a release (v4.2.0, 4.2). Both ends are tested first. Bad means the failure of
    the bad end; a commit that fails in another way, or does not build, is skipped and stays a suspect.

    \b
      bot bisect v4.2.0..master --target ppc64-softmmu --machine pseries-2.12 --profile mem-path --source v2.12.0
      bot bisect v9.0.0..HEAD --machine pc-q35-8.2 --baseline qemu-8.2 --direction backward
      bot bisect v9.0.0..HEAD -- ./any-command-that-git-bisect-run-takes
      bot bisect --find-fix v9.2.0..HEAD -- ./a-command-that-fails-on-v9.2.0

    \b
    Exit: 0 one commit, 3 several suspects, 4 the bad end is not bad, 5 the good end is not good, 6 flaky,
    7 only a merge is bad, 8 inconclusive; with --find-fix 4 OLD does not fail, 5 NEW does; 129 bad input,
    130 interrupted, 131 machine trouble. The same command, or --resume, goes on from what was recorded.
    """
    from bot.pipeline import begun
    from bot.pipeline import bisect as bisecting

    if resume:
        if range_ is not None:
            raise UserError("--resume goes on with what was asked before; leave everything else out")
        again = click.get_current_context().find_root().command
        return int(again.main(args=list(begun.last(settings.place)), standalone_mode=False) or 0)
    if range_ is None:
        raise UserError("GOOD..BAD is missing, e.g. v9.0.0..master; or --resume, to go on with the last bisection")
    config = typed.config(settings)
    request = bisecting.Request(
        range=range_,
        target=typed.target,
        machines=typed.machines,
        profile=typed.one(config),
        sides=sides,
        methods=typed.methods or (PRECOPY,),
        command=command,
        repo=repo,
        out=out,
        plan=plan,
        symptom=symptom,
        skip=skip,
        runs=runs,
        jobs=jobs,
        first_parent=first_parent,
        find_fix=find_fix,
        log=log,
        siblings=siblings,
        side_test=SideTests(side_test),
        typed=tuple(sys.argv[1:]),
    )
    with watching() as watcher:
        return bisecting.bisect(config, settings.work(), request, watcher, stopping())


@click.command()
@click.argument("log", type=click.Path(path_type=Path, allow_dash=True), metavar="LOG")
@click.option("--svg", type=FILE, metavar="FILE", help="Draw the search, step by step.")
@click.pass_obj
def replay(_settings: Settings, log: Path, svg: Path | None) -> int:
    """Repeat a search from its log, without git, builds or QEMU, and print the finding.

    The same log is taken by `git bisect replay`, in a clone. Exit codes as `bot bisect`.
    """
    from bot.pipeline import replaying

    return replaying.replay(log, svg)
