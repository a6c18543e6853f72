"""`bot build`, `bot test`, `bot smoke`, `bot hints`: one commit, or two binaries, as they are now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.commands.foreground import stopping, watching
from bot.errors import UserError
from bot.model import Direction, Profile
from bot.options import FILE, REPO, Settings, Typed, case_options, matrix_options, side_options, words

if TYPE_CHECKING:
    from bot.pipeline.asking import Sides
    from bot.pipeline.telling import Files


@click.command()
@click.argument("revisions", metavar="REV...", nargs=-1)
@click.option("--target", "targets", multiple=True, help="QEMU target. Repeatable.  [default: the configuration's]")
@click.option("--check-eras", is_flag=True, help="Build one commit of every era (build.eras) instead, as a table.")
@REPO
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_obj
def build(
    settings: Settings, revisions: tuple[str, ...], targets: tuple[str, ...], check_eras: bool, repo: Path | None,
    as_json: bool,
) -> int:  # fmt: skip
    """Build revisions and print where each binary is, its firmware (-L), and what it took: one line for each target.

    \b
      bot build v9.2.0 --target x86_64
      $(bot build master --target x86_64 | cut -d" " -f1-3) -M help
      bot build --check-eras              does every era of QEMU build on this machine?

    A path stays until build.cache_size of others were used or built in this work directory since; the same command
    brings it back.

    Exit: 0 all built, 1 one does not build (first error and log are named), 129 bad input, 130 interrupted, 131 machine
    trouble.
    """
    from bot.pipeline import build as building

    if check_eras and revisions:
        raise UserError("--check-eras builds what build.eras says; leave REV out")
    if not (check_eras or revisions):
        raise UserError("REV is missing: a commit, branch, tag or release, e.g. v9.2.0; or --check-eras")
    request = building.Request(revisions, targets, repo, check_eras, as_json)
    with watching() as watcher:
        return building.build(settings.config(), settings.work(), request, watcher, stopping())


@click.command()
@click.argument("revision", metavar="REV")
@case_options
@side_options
@REPO
@matrix_options
@click.option(
    "--apply",
    type=FILE,
    metavar="FILE",
    help="Put the patches in FILE on REV, and test that: an mbox, a mail, or what `git format-patch` wrote; - for "
    "standard input. Refused where there is no sandbox. What fails, and passes on REV, is searched.",
)
@click.option("--no-search", is_flag=True, help="With --apply: do not look for the first failing patch.")
@click.pass_obj
def test(
    settings: Settings, revision: str, typed: Typed, sides: Sides, repo: Path | None, sweep: str | None, strict: bool,
    files: Files, apply: Path | None, no_search: bool,
) -> int:  # fmt: skip
    """Build one revision and smoke it: the machine types given, or all.

    \b
      bot test HEAD --machine pc-q35-9.2 --source v9.2.0
      bot test HEAD --sweep nightly       every target and baseline of the configuration
      bot test master --apply series.mbox --source v9.2.0          patches that somebody posted

    What fails with a series and passes without it is told first; then the first failing patch is searched, which builds
    some of its commits, and the answer to the series is written: `bot list`, `bot report s0001`.

    Exit: 0 good (or failing only where that is expected), 1 bad, 125 nothing could be tested, 129 and above no verdict;
    safe in `git bisect run`.
    """
    from bot.pipeline import check

    if no_search and apply is None:
        raise UserError("--no-search is about the patches of a series: give it with --apply FILE")
    config = typed.config(settings)
    request = check.Request(
        revision=revision,
        target=typed.target,
        machines=typed.machines,
        profile=typed.chosen(config, sweep),
        sides=sides,
        repo=repo,
        sweep=sweep,
        methods=typed.methods,
        accel=typed.accel,
        strict=strict,
        files=files,
        apply=apply,
        search=not no_search,
    )
    with watching() as watcher:
        return check.test(config, settings.work(), request, watcher, stopping())


@click.command()
@click.option("--source", required=True, type=FILE, metavar="BIN", help="QEMU that is migrated from.")
@click.option("--destination", type=FILE, metavar="BIN", help="QEMU that is migrated to.  [default: --source]")
@case_options
@click.option("--all", "all_types", is_flag=True, help="Every machine type that both sides have.")
@click.option(
    "--direction",
    "directions",
    multiple=True,
    type=click.Choice([d.value for d in Direction]),
    help="forward: from --source to --destination; backward: the other way; same: --destination to itself. Repeatable."
    "  [default: forward, or those of the sweep]",
)
@matrix_options
@click.pass_obj
def smoke(
    settings: Settings, source: Path, destination: Path | None, typed: Typed, all_types: bool,
    directions: tuple[str, ...], sweep: str | None, strict: bool, files: Files,
) -> int:  # fmt: skip
    """Migrate between two QEMU binaries. No database, no clone, no configuration needed.

    \b
      bot smoke --source /usr/bin/qemu-system-x86_64 --destination ./qemu-system-x86_64 --machine pc-q35-7.2
      bot smoke --source 'old/qemu-system-{arch}' --destination 'new/qemu-system-{arch}' --sweep nightly
      git bisect run bot smoke --source old/qemu-system-ppc64 --destination build/qemu-system-ppc64 --all

    With {arch} in a path every architecture is run that both sides have.

    Exit: 0 good (or failing only where that is expected), 1 bad, 125 nothing could be tested, 129 and above no verdict;
    safe in `git bisect run`.
    """
    from bot.pipeline import standalone

    if typed.target is not None and typed.cmdline is None:
        raise UserError("--target: the binaries say it themselves; leave it out")
    config = typed.config(settings)
    request = standalone.Request(
        source=source,
        destination=destination or source,
        machines=typed.machines,
        all_types=all_types,
        profile=typed.chosen(config, sweep),
        sweep=sweep,
        directions=tuple(Direction(direction) for direction in directions),
        methods=typed.methods,
        accel=typed.accel,
        strict=strict,
        files=files,
    )
    with watching() as watcher:
        return standalone.smoke(config, request, watcher, stopping())


@click.command()
@click.option("--source", required=True, type=FILE, metavar="BIN", help="QEMU that is migrated from: the old one.")
@click.option("--destination", required=True, type=FILE, metavar="BIN", help="QEMU that is migrated to.")
@click.option("--machine", "machines", multiple=True, metavar="TYPE", help="Machine type.  [default: all shared]")
@click.option("--profile", default="bare", show_default=True, help="Device set of both sides' streams.")
@click.option("--args", metavar="ARGS", help="QEMU arguments of both sides' streams, instead of a profile's.")
@click.option("--checker", type=FILE, metavar="FILE", help="Output of QEMU's vmstate-static-checker.py.")
@click.option("--machine-types", type=FILE, metavar="FILE", help="JSON or CSV of QEMU's compare-machine-types.py.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, with the differences that do no harm.")
@click.pass_obj
def hints(
    settings: Settings, source: Path, destination: Path, machines: tuple[str, ...], profile: str, args: str | None,
    checker: Path | None, machine_types: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Compare what two QEMUs send and know of device state, without migrating: hints, never a verdict.

    It shows what an expected failure hides, and devices that nobody plugged. Exit: 0 if it ran, whatever it found.
    """
    from bot.pipeline import hints as hinting

    config = settings.config()
    request = hinting.Request(
        source=source,
        destination=destination,
        machines=machines,
        profile=config.profile(profile) if args is None else Profile("args", words(args, "--args")),
        checker=checker,
        machine_types=machine_types,
        json=as_json,
    )
    with watching() as watcher:
        return hinting.hints(config, request, watcher, stopping())
