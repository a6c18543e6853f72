"""What the builder saves on neighbouring commits, beside an incremental build directory as a person keeps one.

    python -m benchmarks.builds --repo CLONE --tip REV [--count 30] [--target T] [--config F] [--work DIR] [--json]

The last commits up to REV are built in the order of history, each by both. Bot's builder builds no commit that changes
nothing of what a build read. The peer is a checkout moved by `git checkout` with one build directory, configured once:
make or ninja with the same flags and -j, started anew where it fails. The first commit is built before for both.

Every commit's own build by the peer says what its binary is: the builder's, shared or not, must have the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bot.build import recipe as recipes
from bot.build import submodules, tools
from bot.build.builder import Builder, recipe_of
from bot.build.submodules import Placer
from bot.config import load
from bot.host.git import Repository
from bot.host.gitdir import environment
from bot.model import BuildKind, BuildSettings, BuildStatus, Sha


class Quiet:
    """No progress but on standard error, a line for each message."""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        pass

    def aside(self) -> Quiet:
        return self


class Peer:
    """A person's build directory: `git checkout`, then make or ninja, and a clean one where that fails."""

    def __init__(self, repository: Repository, settings: BuildSettings, work: Path, target: str) -> None:
        self._repository, self._settings, self._target = repository, settings, target
        self._tree, self._build, self._work = work / "src", work / "build", work
        self._said = ""  # by the last command
        self._git = ["git", f"--git-dir={work / 'git'}", f"--work-tree={self._tree}"]
        self._tree.mkdir(parents=True, exist_ok=True)
        if not (work / "git").exists():
            argv = ["git", "clone", "--quiet", "--bare", "--shared", str(repository.git.dir), str(work / "git")]
            subprocess.run(argv, env=environment(local=True), check=True)

    @property
    def firmware(self) -> Path:
        return self._tree / "pc-bios"

    def binary(self, arch: str) -> Path:
        """The stripped binary that was built last."""
        return self._work / f"qemu-system-{arch}"

    def build(self, commit: Sha) -> tuple[str | None, float]:
        """sha256 of the stripped binary, None if it does not build; and the seconds that it took."""
        began = time.monotonic()
        recipe = recipe_of(self._repository, self._settings.recipes, commit)
        jobs = self._settings.jobs or len(os.sched_getaffinity(0))
        place = recipes.Place(self._target, self._tree, self._build, jobs)
        first = [tools.meson(recipe.meson, self._work / "tools")] if recipe.meson else []
        env = recipes.environment(recipe, place, first, self._work / "home")
        pins = submodules.pins(self._repository, commit, recipe)
        placer = Placer(self._tree, self._work / "note", self._work / "modules", self._settings.submodules)
        placer.clear(pins)
        # no .git in the tree: QEMU's makefiles would fetch submodules
        git = [*self._git, "checkout", "--quiet", "--force", "--detach", commit]
        subprocess.run(git, cwd=self._tree, env=environment(local=True), check=True)
        placer.place(pins, lambda pin: True)
        name = f"qemu-system-{place.arch}"
        for old in self._build.rglob(name) if self._build.exists() else ():
            old.unlink()
        argv = recipes.build_argv(recipe, place)
        built = self._build.exists() and self._run(argv, env)
        if not built:
            shutil.rmtree(self._build, ignore_errors=True)
            self._build.mkdir()
            built = self._configure(place, tuple(map(place.fill, recipe.configure)), env) and self._run(argv, env)
        seconds = time.monotonic() - began
        binary = next((path for path in self._build.rglob(name) if path.is_file()), None)
        if not built or binary is None:
            print(f"peer: {commit[:12]} does not build: {self._said[-200:]}", file=sys.stderr)
            return None, seconds
        out = self.binary(place.arch)
        subprocess.run(["strip", "-o", str(out), str(binary)], check=True)
        return hashlib.sha256(out.read_bytes()).hexdigest(), seconds

    def _configure(self, place: recipes.Place, options: Sequence[str], env: dict[str, str]) -> bool:
        while True:
            argv = recipes.configure_argv(place, options)
            done = subprocess.run(argv, cwd=self._build, env=env, capture_output=True, text=True, check=False)
            unknown = recipes.refused(done.stdout + done.stderr)
            left = recipes.without(options, unknown) if unknown else None
            self._said = done.stdout + done.stderr
            if done.returncode == 0 or left is None:
                return done.returncode == 0
            options = left

    def _run(self, argv: Sequence[str], env: dict[str, str]) -> bool:
        done = subprocess.run(argv, cwd=self._build, env=env, capture_output=True, text=True, check=False)
        self._said = done.stderr
        return done.returncode == 0


@dataclass(frozen=True, slots=True)
class Step:
    """One commit. `alike`: both binaries have the same bytes, or both say that it does not build."""

    commit: Sha
    kind: BuildKind
    ours: float  # seconds
    peers: float
    alike: bool


def neighbours(repository: Repository, tip: Sha, count: int) -> list[Sha]:
    """The last commits of history up to tip, oldest first, children after parents."""
    argv = ["git", "rev-list", "--topo-order", f"--max-count={count + 1}", tip]
    out = subprocess.run(
        argv, cwd=repository.git.dir, env=environment(local=True), capture_output=True, text=True, check=True
    )
    return out.stdout.split()[::-1]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.builds", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--tip", required=True)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--target", default="x86_64-softmmu")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    repository = Repository(given.repo)
    work = (given.work or Path(tempfile.mkdtemp(prefix="bot-benchmark-"))).absolute()
    settings = replace(load(given.config).build_settings, cache=None, share=True)
    first, *commits = neighbours(repository, repository.resolve(given.tip), given.count)
    builder = Builder(repository, settings, work / "ours", Quiet())
    peer = Peer(repository, settings, work / "peer", given.target)
    builder.build(first, given.target, stop=threading.Event())
    peer.build(first)
    steps = []
    for number, commit in enumerate(commits, 1):
        theirs: str | None = None
        slow = 0.0
        if number % 2:  # in turns, for what one has read from the disk helps the other
            theirs, slow = peer.build(commit)
        began = time.monotonic()
        build = builder.build(commit, given.target)
        fast = time.monotonic() - began
        if not number % 2:
            theirs, slow = peer.build(commit)
        ours = build.binary.sha256 if build.status is BuildStatus.BUILT and build.binary else None
        steps.append(Step(commit, build.kind, fast, slow, ours == theirs))
        print(f"{number:3} {commit[:12]} {build.kind:11} {fast:7.1f} s  peer {slow:7.1f} s"
              f"{'' if ours == theirs else '  NOT THE SAME BINARY'}", file=sys.stderr, flush=True)  # fmt: skip
    report(steps, given.json)
    return 0 if all(step.alike for step in steps) else 1


def report(steps: Sequence[Step], as_json: bool) -> None:
    ours, peers = sum(step.ours for step in steps), sum(step.peers for step in steps)
    shared = [step for step in steps if step.kind is BuildKind.SHARED]
    facts = {
        "commits": len(steps),
        "shared": len(shared),
        "ours": round(ours, 1),
        "peer": round(peers, 1),
        "ratio": round(ours / peers, 3),
        "ours_median": round(statistics.median(step.ours for step in steps), 1),
        "peer_median": round(statistics.median(step.peers for step in steps), 1),
        "alike": sum(step.alike for step in steps),
        "shared_alike": sum(step.alike for step in shared),
    }
    if as_json:
        print(json.dumps({**facts, "steps": [asdict(step) for step in steps]}, indent=1))
        return
    print(
        f"{len(steps)} commits: ours {ours:.0f} s, peer {peers:.0f} s, ratio {ours / peers:.2f}; "
        f"{len(shared)} shared without a build; {facts['alike']} of {len(steps)} binaries alike, "
        f"{facts['shared_alike']} of {len(shared)} of the shared ones"
    )


if __name__ == "__main__":
    sys.exit(main())
