"""The command line: parse, load the configuration, call one function, return its exit code.

Each command imports what it runs when it is run: the libraries of all together take most of a second, which `--help`,
completion and a script that calls `bot list` need not wait for (`tests/test_startup.py`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from bot import __version__
from bot.commands.deciding import accept, retract
from bot.commands.upkeep import baselines, gc
from bot.core.gate import Kind
from bot.core.lifecycle import State
from bot.core.outbox import ANSWER
from bot.errors import UserError
from bot.model import PRECOPY, Direction, Profile, SideTests
from bot.options import FILE, REPO, Settings, Typed, address, case_options, matrix_options, side_options, words

if TYPE_CHECKING:
    from bot.pipeline.asking import Sides
    from bot.pipeline.telling import Files
    from bot.progress import Progress


def _default_work() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or str(Path("~/.local/share").expanduser())
    return Path(os.environ.get("BOT_WORK") or Path(data) / "qemu-migration-bot")


def _stopping() -> threading.Event:
    """An event that SIGINT and SIGTERM set; a second SIGINT does not wait for anything."""
    stop = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return stop


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bot")
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration.  [default: ./config.yaml if it is there, else the shipped one]",
)
@click.option(
    "-C",
    "--work",
    "place",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=_default_work,
    help="Work directory: clone, builds, database.  [default: $BOT_WORK, else in ~/.local/share]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one value of the configuration, e.g. --set upstream.url=/src/qemu. Repeatable.",
)
@click.pass_context
def bot(context: click.Context, path: Path | None, place: Path, overrides: tuple[str, ...]) -> None:
    """Finds the commit that broke QEMU migration: watches, builds, smokes, bisects, reports.

    \b
    Start here:
      bot doctor                        what this machine lacks
      bot smoke --source A --destination B --machine pc-q35-9.2
      bot bisect v9.2.0..master --machine pc-q35-9.2 --profile mem-path
      bot run --once                    one watch cycle, for cron

    Exit codes from 129 on are never a verdict: 129 bad input, 130 interrupted, 131 machine trouble, 132 fault of bot.
    """
    context.obj = Settings(path, overrides, place)


@contextmanager
def _watching(log: str = "auto") -> Iterator[Progress]:
    """The progress display, closed on every way out."""
    from bot.terminal import Live, progress

    display = progress(log)
    try:
        yield display
    finally:
        if isinstance(display, Live):
            display.close()


# -- commands ------------------------------------------------------------------------------------------------------


@bot.command()
@click.option(
    "--once", is_flag=True, help="One cycle, then exit: 0 nothing new, 10 a new regression, 131 could not test."
)
@click.option(
    "--log", type=click.Choice(["auto", "json"]), default="auto", show_default=True,
    help="What standard error gets: what a person reads, or a JSON object a line.",
)  # fmt: skip
@click.pass_obj
def run(settings: Settings, once: bool, log: str) -> int:
    """Watch upstream: fetch, build new commits, smoke them, bisect what broke, write reports.

    Without --once it goes on, a cycle every watch.every, until it is stopped; SIGHUP has it read the configuration
    again before the next cycle. With --once the exit code is 0 nothing new, 10 a new regression, 131 something could
    not be tested.
    """
    from bot.pipeline import daemon

    reread = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reread.set())
    with _watching(log) as watcher:
        return daemon.run(settings.config, settings.work(), watcher, _stopping(), reread, once=once)


@bot.command()
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
        return int(bot.main(args=list(begun.last(settings.place)), standalone_mode=False) or 0)
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
    with _watching() as watcher:
        return bisecting.bisect(config, settings.work(), request, watcher, _stopping())


@bot.command()
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
    with _watching() as watcher:
        return check.test(config, settings.work(), request, watcher, _stopping())


@bot.command()
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
    with _watching() as watcher:
        return building.build(settings.config(), settings.work(), request, watcher, _stopping())


@bot.command()
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
    with _watching() as watcher:
        return standalone.smoke(config, request, watcher, _stopping())


@bot.command()
@click.argument("regression", metavar="ID")
@click.option(
    "--kind",
    type=click.Choice([*(kind.value for kind in Kind), ANSWER]),
    help="The mail of that kind.  [default: the last about the regression]",
)
@click.option(
    "--eml", type=click.Path(path_type=Path), metavar="FILE", help="Write the mail there instead of printing it."
)
@click.option("--approve", is_flag=True, help="You have read it: it may go out. Who and when is noted.")
@click.option("--hold", metavar="WHY", help="Keep it back until --approve, or note WHY on what went wrong.")
@click.option("--send", is_flag=True, help="Send it now, if nothing holds it.")
@click.option("--again", is_flag=True, help="With --send: although it was refused, or may have gone out already.")
@click.option("--send-to", metavar="ADDRESS", help="Send a copy to this address alone; the mail itself stays as it is.")
@click.pass_obj
def report(
    settings: Settings, regression: str, kind: str | None, eml: Path | None, approve: bool, hold: str | None,
    send: bool, again: bool, send_to: str | None,
) -> int:  # fmt: skip
    """Print the mail of a regression (r0001), the answer to a series (s0001) or the last mail about a release candidate
    (digest); approve it, send it.

    What holds it back stands in X-Migbot-Held.

    \b
      bot report r0001 | less
      bot report r0001 --send-to me@example.org
      bot report r0001 --approve --send

    Exit: 0 done, 129 it cannot be sent (the text says what holds it), 131 it was not taken now, or nobody knows.
    """
    from bot.pipeline import look, sending

    wish = sending.Wish(approve=approve, hold=hold, send=send, again=again, send_to=send_to)
    if not wish.any:
        return look.report(settings.work(), regression, kind, eml)
    if eml is not None:
        raise UserError("--eml writes the mail; give it without --approve, --hold and --send")
    return sending.fulfil(settings.config(), settings.work(), regression, kind, wish)


@bot.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([s.value for s in State]), help="Only these. Repeatable."
)
@click.option("--inherited", "before", is_flag=True, help="What fails at the tips and was never seen good, instead.")
@click.option("--lost", is_flag=True, help="Machine types that were tested and are deleted since, instead.")
@click.pass_obj
def list_(settings: Settings, as_json: bool, states: tuple[str, ...], before: bool, lost: bool) -> int:
    """List regressions: id, state, failure, range, finding; then series that somebody posted and that break something.

    \b
      bot list --state open --state "fix posted" --state reopened      what waits to be fixed
      bot list --inherited                         failures that were there before the bot looked
      bot list --lost                              cases that went with their machine types
    """
    if before + lost + bool(states) > 1:
        raise UserError("--state is of regressions, --inherited and --lost are about none: give one of the three")
    if lost:
        from bot.pipeline.losing import list_lost

        return list_lost(settings.work(), as_json)
    if before:
        from bot.pipeline.inherited import inherited

        return inherited(settings.config(), settings.work(), as_json)
    from bot.pipeline import look

    return look.list_(settings.work(), as_json, states)


bot.add_command(accept)
bot.add_command(retract)
bot.add_command(gc)
bot.add_command(baselines)


@bot.command()
@click.argument("regression", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON.")
@click.pass_obj
def show(settings: Settings, regression: str, as_json: bool) -> int:
    """Show one regression (r0001), or a series (s0001): finding, steps, where it fails, what holds its mail."""
    from bot.pipeline import showing

    return showing.show(settings.work(), regression, as_json)


@bot.command()
@click.option("--check", is_flag=True, help="Exit 1 if `bot run` does not do its work; for a monitor.")
@click.pass_obj
def status(settings: Settings, check: bool) -> int:
    """Say what goes on, and what was done last: cycles, builds, disk, open regressions.

    With --check the exit code is 1 if the last cycle that ended is older than twice what a cycle may take: the longer
    of watch.every and watch.budget.
    """
    from bot.pipeline import status as stating

    return stating.status(settings.config(), settings.work(), check=check)


@bot.command()
@click.option("--all", "everything", is_flag=True, help="All that was told, and who wants no mails.")
@click.option("--done", type=click.IntRange(min=1), metavar="NUMBER", help="Note that you did what was asked.")
@click.option("--why", metavar="TEXT", help="With --done: what you did, or why not.")
@click.pass_obj
def replies(settings: Settings, everything: bool, done: int | None, why: str | None) -> int:
    """List what people told the bot in answers to its mails, and what of it waits. See docs/replies.md.

    \b
      bot replies --done 3 --why "tested by hand, it is good"
    """
    from bot.pipeline import replying

    if done is None:
        if why is not None:
            raise UserError("--why says what was done: give it with --done NUMBER")
        return replying.listing(settings.work(), everything=everything)
    return replying.settle(settings.work(), done, why or "done")


@bot.command()
@click.argument("log", type=click.Path(path_type=Path, allow_dash=True), metavar="LOG")
@click.option("--svg", type=FILE, metavar="FILE", help="Draw the search, step by step.")
@click.pass_obj
def replay(_settings: Settings, log: Path, svg: Path | None) -> int:
    """Repeat a search from its log, without git, builds or QEMU, and print the finding.

    The same log is taken by `git bisect replay`, in a clone. Exit codes as `bot bisect`.
    """
    from bot.pipeline import replaying

    return replaying.replay(log, svg)


@bot.command()
@click.argument("out", type=click.Path(path_type=Path), metavar="[OUT]", required=False)
@click.option("--serve", is_flag=True, help="Then serve them over HTTP, to whoever can connect, until stopped.")
@click.option(
    "--listen",
    callback=address,
    default="127.0.0.1:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="With --serve: where.",
)
@click.pass_obj
def site(settings: Settings, out: Path | None, serve: bool, listen: tuple[str, int]) -> int:
    """Write the static pages into the directory OUT (with --serve that of `bot run` will do)."""
    from bot.pipeline import publish

    if serve:
        return publish.show(settings.config(), settings.work(), out, listen, _stopping())
    if out is None:
        raise UserError("bot site: OUT is missing: the directory for the pages; only --serve does without")
    return publish.pages(settings.config(), settings.work(), out)


@bot.command(name="doctor")
@click.pass_obj
def doctor_(settings: Settings) -> int:
    """Say what is missing on this machine, and which command mends it. Exit: 0 all there, 131 something is missing."""
    from bot.pipeline import doctor

    return doctor.doctor(settings.config(), settings.place)


@bot.command()
@REPO
@click.option("--name", metavar="NAME", help="What it is called.  [default: the host's name]")
@click.pass_obj
def worker(settings: Settings, repo: Path | None, name: str | None) -> int:
    """Build and test on this host what a `bot bisect` or `bot run` elsewhere searches, until stopped.

    It connects to executor.address, and again when that was lost. Work directory, sandbox, compilers and
    executor.slots are this host's; what is tested is the coordinator's. See docs/hosts.md.
    """
    from bot.pipeline import serve

    with _watching() as watcher:
        return serve.worker(settings.config(), settings.work(), repo, name, watcher, _stopping())


@bot.command()
@click.pass_obj
def scheduler(settings: Settings) -> int:
    """Listen at executor.address, and hand tests to the workers that connect, until stopped. It does nothing else."""
    from bot.pipeline import serve

    with _watching() as watcher:
        return serve.scheduler(settings.config(), watcher, _stopping())


@bot.command()
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
    with _watching() as watcher:
        return hinting.hints(config, request, watcher, _stopping())


@bot.command(name="signature")
@click.argument("log", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE|-")
@click.option("--returncode", type=int, metavar="N", help="How QEMU ended: its exit code, or -N or 128+N for signal N.")
@click.pass_obj
def signature_(settings: Settings, log: Path, returncode: int | None) -> int:
    """Say what the failure in a log is called, and which known regressions are called the same, as JSON.

    The log is stderr of QEMU's destination, of both sides, or what libvirt, the journal or a report made of it.

    \b
      bot signature /var/log/libvirt/qemu/guest.log
      journalctl -u libvirtd | bot signature -

    Exit: 0 a failure was named, 125 the log tells of none, 129 it cannot be read.
    """
    from bot.pipeline import signature as naming

    return naming.show(settings.place, log, returncode)
