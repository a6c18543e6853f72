"""One real bisection, by `bot bisect` and by `git bisect run` with an incremental build directory: which is done first.

    python -m benchmarks.bisection GOOD..BAD --source REF --machine M [--profile P] [--target T]
        --repo CLONE --work DIR [--config F] [--evidence all,patches,none] [--side-test off|tell|turn]

The failing case is forward: REF, built by the bot, migrates to the commit. Before the clock runs, both ends are built
for all, and the source. Then `git bisect run` searches with a script that moves a person's build directory (see
`benchmarks.builds`) to the commit and runs `bot smoke`; and `bot bisect`, confirmation, revert and report included,
once for each way of being led (`bisect.evidence`), each time from the same copy of the work directory that both ends
were built in; without a side test, which asks what git does not: whether the pinned release is at fault, and builds
releases for it. git names what its last answers say, after one run of each commit.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.builds import Peer, Quiet
from bot.build.builder import Builder
from bot.config import load
from bot.host.git import Repository
from bot.host.gitdir import environment
from bot.model import Binary, Sha

BOT = (sys.executable, "-m", "bot")
SKIP = 125
STOP = 255  # ends `git bisect run`; Python's own 1 would call the commit bad


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one of them did. `named` is its first bad commit; `steps` commits that it tested or asked about."""

    who: str
    seconds: float
    steps: int
    named: Sha | None


def bot(given: argparse.Namespace, level: str) -> Outcome:
    """A search by the bot, from ends that are built."""
    work = given.work / "bot"  # one place for all: make and git know their files by path
    _copy(given.work / "prepared", work)
    argv = [
        *BOT, *_config(given), "-C", str(work), "--set", f"bisect.evidence={level}",
        "bisect", given.range, "--repo", str(given.repo), "--target", given.target, "--machine", given.machine,
        "--profile", given.profile, "--source", given.source, "--side-test", given.side_test,
    ]  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - began
    print(done.stdout, file=sys.stderr)
    named = re.search(r"^first bad commit: ([0-9a-f]+)", done.stdout, re.MULTILINE)
    tested = re.search(r"(\d+) tested", done.stdout)
    sha = Repository(given.repo).resolve(named[1]) if named else None
    return Outcome(f"bot, evidence {level}", seconds, int(tested[1]) if tested else 0, sha)


def git(given: argparse.Namespace, work: Path, good: Sha, bad: Sha) -> Outcome:
    """A search by `git bisect run`."""
    clone, log = work / "bisect", work / "steps"
    log.unlink(missing_ok=True)
    if not clone.exists():
        argv = ["git", "clone", "--quiet", "--no-checkout", "--shared", str(given.repo), str(clone)]
        subprocess.run(argv, env=environment(local=True), check=True)
    step = [
        sys.executable, "-m", "benchmarks.bisection", given.range, "--step", "--source", given.source,
        "--machine", given.machine, "--profile", given.profile, "--target", given.target, "--repo", str(given.repo),
        "--work", str(work), *(["--config", str(given.config)] if given.config else []),
    ]  # fmt: skip
    script = f"{shlex.join(step)} --commit $(git rev-parse BISECT_HEAD)"
    env = os.environ | environment(local=True)
    began = time.monotonic()
    start = ["git", "bisect", "start", "--no-checkout", bad, good]
    subprocess.run(start, cwd=clone, env=env, stdout=sys.stderr, check=True)
    done = subprocess.run(
        ["git", "bisect", "run", "sh", "-c", script], cwd=clone, env=env, stdout=subprocess.PIPE, text=True, check=False
    )
    seconds = time.monotonic() - began
    subprocess.run(["git", "bisect", "reset"], cwd=clone, env=env, capture_output=True, check=False)
    named = re.search(r"^([0-9a-f]{40}) is the first bad commit", done.stdout, re.MULTILINE)
    steps = len(log.read_text().splitlines()) if log.exists() else 0
    return Outcome("git bisect run", seconds, steps, named[1] if named else None)


def step(given: argparse.Namespace, peer: Peer) -> int:
    """What the script of `git bisect run` does for a commit; its exit code."""
    began = time.monotonic()
    digest, built = peer.build(given.commit)
    code = SKIP
    if digest is not None:
        arch = given.target.removesuffix("-softmmu")
        other = json.loads((given.work / "source.json").read_text())
        argv = [
            *BOT, *_config(given), "smoke", "--source", other["binary"], "--source-args", f"-L {other['firmware']}",
            "--destination", str(peer.binary(arch)), "--destination-args", f"-L {peer.firmware}",
            "--machine", given.machine, "--profile", given.profile,
        ]  # fmt: skip
        code = subprocess.run(argv, stdout=sys.stderr, check=False).returncode
    line = f"{given.commit[:12]} exit {code}, {built:.0f} s building, {time.monotonic() - began:.0f} s in all"
    print(line, file=sys.stderr, flush=True)
    with (given.work / "steps").open("a") as log:
        log.write(f"{line}\n")
    return code


def _config(given: argparse.Namespace) -> list[str]:
    return ["--config", str(given.config)] if given.config else []


def _prepare(given: argparse.Namespace, ends: Sequence[Sha]) -> None:
    """Source and both ends built, in a work directory whose copy is kept."""
    repository, settings = Repository(given.repo), load(given.config).build_settings
    first, kept = given.work / "bot", given.work / "prepared"
    if kept.exists():
        return
    builder = Builder(repository, settings, first, Quiet())
    source, *_ = [_built(builder, sha, given.target) for sha in (repository.resolve(given.source), *ends)]
    facts = {"binary": source.path, "firmware": source.data_dir or source.path.parent}
    moved = {name: str(kept / path.relative_to(first)) for name, path in facts.items()}
    (given.work / "source.json").write_text(json.dumps(moved))
    _copy(first, kept)


def _built(builder: Builder, commit: Sha, target: str) -> Binary:
    build = builder.build(commit, target)
    if build.binary is None:
        raise SystemExit(f"{commit} does not build: {build.error}")
    return build.binary


def _copy(source: Path, to: Path) -> None:
    """A directory with the times of its files, whole or not at all."""
    half = to.with_name(f"{to.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    subprocess.run(["cp", "-a", str(source), str(half)], check=True)
    shutil.rmtree(to, ignore_errors=True)
    half.rename(to)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.bisection", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("range")
    parser.add_argument("--source", required=True)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--profile", default="bare")
    parser.add_argument("--target", default="x86_64-softmmu")
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--evidence", default="all,patches,none")
    parser.add_argument("--side-test", default="off", choices=("turn", "tell", "off"))
    parser.add_argument("--step", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--commit", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    given.work, given.repo = given.work.absolute(), given.repo.absolute()
    given.config = given.config and given.config.absolute()  # git runs the script elsewhere
    given.work.mkdir(parents=True, exist_ok=True)
    repository = Repository(given.repo)
    peer = Peer(repository, load(given.config).build_settings, given.work / "peer", given.target)
    if given.step:
        try:
            return step(given, peer)
        except Exception:
            traceback.print_exc()
            return STOP
    good, bad = (repository.resolve(name) for name in given.range.split(".."))
    levels = given.evidence.split(",")
    _prepare(given, (good, bad))
    for end in (good, bad):
        peer.build(end)
    outcomes = [git(given, given.work, good, bad)]
    print(outcomes[0], file=sys.stderr, flush=True)
    for level in levels:
        outcomes.append(bot(given, level))
        print(outcomes[-1], file=sys.stderr, flush=True)
    slow = outcomes[0].seconds
    print(json.dumps([{**asdict(o), "ratio": round(o.seconds / slow, 3)} for o in outcomes], indent=1))
    return 0 if len({outcome.named for outcome in outcomes}) == 1 and outcomes[0].named else 1


if __name__ == "__main__":
    sys.exit(main())
