"""The side test: before its first probe a search asks whether it is the pinned release that brought the failure.

The failing case of the bad end is run with siblings in the place of the pinned release (`core.sides` says what their
answers mean). Where a point release before it passes, the range between the two is what has to be searched, with the
other side of the bad end in the baseline's place: `turned` makes that question of the first one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bot.core import sides
from bot.core.confirmation import Rules
from bot.errors import InfraError, UserError
from bot.model import (
    PRECOPY,
    Answer,
    Baseline,
    Branch,
    Case,
    Direction,
    Outcome,
    Place,
    Profile,
    Question,
    Run,
    Sibling,
    Side,
    SideTest,
    Signature,
    Test,
)
from bot.pipeline.bench import Bench, baseline_name
from bot.pipeline.siblings import Candidate, siblings
from bot.worker import Rig, perform

_ROUNDS = 3  # in which the machine fails each run, then it is no use to go on


class Elsewhere(Exception):
    """A search that is given up before its first probe: the pinned side's branch is what has to be searched."""

    def __init__(self, test: SideTest, question: Question) -> None:
        super().__init__(test.why)
        self.test, self.question = test, question


@dataclass(slots=True)
class Sides:
    """The side test of one search; `result` is there once the search has asked for it.

    `named` are siblings that a person named. With `turn` a search that has to be made on the pinned side, and can be,
    is given up: `Elsewhere` is raised.
    """

    bench: Bench
    question: Question
    named: tuple[str, ...] = ()
    turn: bool = False
    result: SideTest | None = None

    def __call__(self, failing: Run) -> None:
        """Test the sides, once. `failing` is a run of the bad end that shows the failure."""
        signature = self.question.signature or failing.signature
        if self.result is not None or signature is None:
            return
        self.result = self._tested(signature)
        self.bench.progress.say(f"side test: {self.result.why}")
        if self.result.advice:
            self.bench.progress.say(self.result.advice)
        if self.turn and self.result.branch is not None:
            raise Elsewhere(self.result, replace(self.question, signature=signature))

    def _tested(self, signature: Signature) -> SideTest:
        bench, case = self.bench, self.question.case
        this = bench.rig.baselines[case.baseline or ""]
        groups = siblings(bench, case, self.named)
        rig = _with(bench.rig, [one for group in groups for one in group])
        pinned = _short(baseline_name(bench, this, case.target))
        role = "source" if case.direction is Direction.FORWARD else "destination"
        asked: list[tuple[Candidate, Sibling]] = []
        left = list(groups)
        while left and (self.named or sides.open_to(_siblings(asked), [group[0].place for group in left])):
            for one in left.pop(0):
                bench.progress.work(f"side test: {one.baseline.name} as the {role}")
                sibling = self._ask(one, rig, signature)
                asked.append((one, sibling))
                bench.progress.say(f"side test: {sides.said(sibling, role)}")
                if sibling.answer is not Answer.NOTHING:
                    break
        side, why = sides.settle(pinned, _siblings(asked))
        seen = sides.counted(self._runs(case, rig), signature)
        test = SideTest(side, why, pinned, role, seen.bad, seen.n, _siblings(asked))
        if side is not Side.PINNED:
            return test
        branch = self._branch(this, asked)
        return replace(test, branch=branch, advice=self._advice(this, asked, branch))

    # -- one sibling -----------------------------------------------------------------------------------------------

    def _ask(self, one: Candidate, rig: Rig, signature: Signature) -> Sibling:
        """Run a sibling until it says something, in turns with the pinned release."""
        bench, case = self.bench, self.question.case
        name = baseline_name(bench, one.baseline, case.target)
        name = name if one.place is Place.SAME else _short(name)
        mine = replace(case, baseline=one.baseline.name)
        limits = bench.config.bisect
        rules = Rules(min_runs=limits.min_runs, max_runs=limits.max_runs)
        lost = 0
        while True:
            runs, pinned = self._runs(mine, rig), self._runs(case, rig)
            seen, failing = sides.counted(runs, signature), sides.counted(pinned, signature)
            said = sides.answer(pinned, runs, signature, rules)
            if said is not None:
                break
            if lost == _ROUNDS:
                raise InfraError(
                    f"the machine failed {lost} times to run {mine.id}; the same command goes on from here"
                )
            first = seen.n < sides.FIRST
            fewest = min(seen.n, failing.n)
            times = sides.FIRST - seen.n if first else limits.min_runs - (fewest if fewest < limits.min_runs else 0)
            try:
                for fact in perform(Test(self.question.bad, (mine,) if first else (mine, case), times=times), rig):
                    bench.keep(fact)
            except UserError as error:  # it does not build, or is not there
                return Sibling(name, one.place, Answer.NOTHING, why=str(error).partition("\n")[0])
            lost = lost + 1 if len(self._runs(mine, rig)) == len(runs) else 0
        why = _why_nothing(runs, pinned, signature) if said is Answer.NOTHING else ""
        return Sibling(name, one.place, said, seen.bad, seen.n, why)

    def _runs(self, case: Case, rig: Rig) -> list[Run]:
        """What is recorded of a case at the bad end, as things are set up today."""
        found = self.bench.store.runs(commit=self.question.bad, cases=[case], setups=[rig.setup(case)], logs=False)
        return [run for run in found if run.outcome is not Outcome.INFRA]

    # -- what to do ------------------------------------------------------------------------------------------------

    def _branch(self, this: Baseline, asked: Iterable[tuple[Candidate, Sibling]]) -> Branch | None:
        """The range of the pinned side, if both ends of it are commits of the clone."""
        good = _newest(asked, Place.OLDER_POINT)
        if good is None or good.baseline.ref is None or this.ref is None:
            return None
        bad = self.bench.rig.refs[this.name]
        if self.bench.repository.is_ancestor(bad, good.identity):
            return None
        return Branch(good.baseline.ref, good.identity, this.ref, bad)

    def _advice(self, this: Baseline, asked: Iterable[tuple[Candidate, Sibling]], branch: Branch | None) -> str:
        """What a person can do: the command that searches the pinned side, or what is missing for it."""
        bench, question = self.bench, self.question
        if branch is not None:
            range_ = f"{branch.good_name}..{branch.bad_name}"
            return f"the pinned side is searched by: {command(bench, question, range_)}"
        good = _newest(asked, Place.OLDER_POINT) or _newest(asked, Place.OLDER)
        if good is None:
            passing = next(said.name for _, said in asked if said.answer is Answer.PASSES)
            return f"no range of commits is known for the pinned side; {passing} can be used instead"
        first, last = good.baseline.ref or f"v{'.'.join(map(str, good.release))}", self._release(this)
        known = "" if good.baseline.ref and this.ref else ", of which there are binaries here and no commits"
        return f"what has to be searched came between {first} and {last}{known}; in a clone that has both: " + command(
            bench, question, f"{first}..{last}"
        )

    def _release(self, this: Baseline) -> str:
        """The pinned release as a clone calls it: `v10.0.13` of a binary that says 10.0.13."""
        if this.ref is not None:
            return this.ref
        return "v" + _short(baseline_name(self.bench, this, self.question.case.target)).removeprefix("qemu-")


def _newest(asked: Iterable[tuple[Candidate, Sibling]], place: Place) -> Candidate | None:
    """The newest sibling of a place that passes."""
    passing = [one for one, said in asked if said.answer is Answer.PASSES and said.place is place]
    return max(passing, key=lambda one: one.release, default=None)


def _short(name: str) -> str:
    """`qemu-10.0.13`, without its path."""
    return name.partition(" (")[0]


def _siblings(asked: Iterable[tuple[Candidate, Sibling]]) -> tuple[Sibling, ...]:
    return tuple(sibling for _, sibling in sorted(asked, key=lambda one: one[0].release))


def _with(rig: Rig, candidates: Iterable[Candidate]) -> Rig:
    found = list(candidates)
    return replace(
        rig,
        baselines={**rig.baselines, **{one.baseline.name: one.baseline for one in found}},
        refs={**rig.refs, **{one.baseline.name: one.identity for one in found if one.baseline.ref is not None}},
    )


def _why_nothing(runs: list[Run], pinned: list[Run], signature: Signature) -> str:
    """Why a sibling says nothing, in a phrase."""
    if without := sides.lacking(pinned, runs):
        return f"it was run without {', '.join(without)}"
    odd = next((run for run in runs if sides.counted([run], signature).skip), None)
    if odd is None:
        return "the pinned release fails too rarely to compare it with"
    message = odd.observation.message.partition("\n")[0]
    return f"{odd.outcome}: {message}" if message else str(odd.outcome)


# -- the other side's search ---------------------------------------------------------------------------------------


def turned_case(question: Question, case: Case) -> Case:
    """A case of the pinned side's commits: what was pinned varies, and the bad end stands on the other side."""
    direction = Direction.BACKWARD if case.direction is Direction.FORWARD else Direction.FORWARD
    return replace(case, direction=direction, baseline=question.bad[:12])


def turned_bench(bench: Bench, question: Question, bad_name: str) -> Bench:
    """The bench with the bad end among the baselines."""
    other = Baseline(question.bad[:12], ref=bad_name)
    rig = replace(
        bench.rig,
        baselines={**bench.rig.baselines, other.name: other},
        refs={**bench.rig.refs, other.name: question.bad},
    )
    return replace(bench, rig=rig)


def command(bench: Bench, question: Question, range_: str) -> str:
    """The command line that searches a range of the pinned side."""
    case, profile = question.case, bench.rig.profile(question.case)
    forward = case.direction is Direction.FORWARD
    argv = ["bot", "bisect", range_, "--target", case.target, "--machine", case.machine]
    argv += _profile(profile, bench.config.profiles.get(profile.name) == profile)
    argv += ["--method", case.method] if case.method != PRECOPY else []
    argv += ["--accel", case.accel] if case.accel != bench.config.smoke.accel else []
    end = question.bad[:12]
    argv += ["--source-side", "--destination", end] if forward else ["--source", end, "--side-test", "off"]
    return shlex.join(argv)


def _profile(profile: Profile, configured: bool) -> list[str]:
    if configured:
        return ["--profile", profile.name]
    found = ["--args", shlex.join(profile.args)]
    for option, args in (("--source-args", profile.source_args), ("--destination-args", profile.destination_args)):
        found += [f"{option}={shlex.join(args)}"] if args else []
    return found + (["--run", f"{profile.run:g}"] if profile.run else [])
