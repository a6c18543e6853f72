"""A stretch of real history as `bot run` would have lived through it, a cycle a day, with a clock that is given.

    python -m benchmarks.replay --repo CLONE --from 2019-03-11 --to 2019-04-09 --config F --work DIR \
        [--on DAY ...] [--branch NAME[=REF] ...] [--set KEY=VALUE ...] [--json]

Each evening (23:00 UTC) the branch stands where its first parents stood then, and one cycle of the watch is run on it
as `bot run --once` does: nothing that is newer can be seen, what it records and what it writes in mails is of that day.
With --on only some days are lived through. With more than one --branch, the others (stable ones) are there from the
evening on when they have a commit that the first one has not.

The configuration is the watch's own: which machine types and profiles, with which baselines. Mails go to a real SMTP
server of this process, which keeps them in DIR/mails; they need no approval, so what is held is held by the gate. Mails
of others are put where `replies.mailbox` of the configuration says, between two calls for two stretches of days.

Printed is each day: the tip, what was built, the runs, and what was noted of a regression or mailed. It can be ended at
any time; the same command goes on with the day that it was in.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from bot.config import Config, load
from bot.host.git import Repository
from bot.host.gitdir import environment
from bot.model import Outcome, Sha
from bot.pipeline.cycle import cycle
from bot.report.story import told
from bot.store.store import Store

_EVENING = clock_time(23, tzinfo=UTC)  # when a day's cycle begins


class Lines:
    """Progress as lines on standard error, each with the day that it is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def say(self, text: str) -> None:
        print(f"{datetime.fromtimestamp(self._clock(), UTC):%m-%d %H:%M:%S} {text}", file=sys.stderr, flush=True)

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        pass

    def aside(self) -> Lines:
        return self


class Kept:
    """Takes every mail, and keeps each as a file in the order that they came: one that came twice is two files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        number = len(list(self._folder.glob("*.eml"))) + 1
        (self._folder / f"{number:03}.eml").write_bytes(envelope.original_content or b"")
        return "250 2.0.0 taken"

    def read(self) -> list[EmailMessage]:
        paths = sorted(self._folder.glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]


@dataclass(frozen=True, slots=True)
class Day:
    """What one cycle did. Times are seconds."""

    day: str
    tip: Sha
    subject: str
    result: int  # the exit code of `bot run --once`
    builds: dict[str, int]
    runs: dict[str, int]
    noted: tuple[str, ...]
    mails: tuple[str, ...]
    seconds: float


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def evening_tip(repository: Repository, branch: str, day: date) -> Sha:
    """Where the first parents of a branch stood on the evening of a day, by the dates of their commits."""
    until = datetime.combine(day, _EVENING)
    asked = ("--first-parent", "--max-count=1", f"--until={until.isoformat()}")
    out = git(repository.git.dir, "rev-list", *asked, "--end-of-options", repository.resolve(branch))
    if not out:
        raise SystemExit(f"{branch} has no commit before {until}")
    return out


def upstream(repository: Repository, place: Path, head: str) -> Path:
    """A repository that has all objects of another, and no branch yet; its HEAD is to be the branch `head`."""
    if not place.exists():
        subprocess.run(["git", "init", "--quiet", "--bare", f"--initial-branch={head}", str(place)], check=True)
        (place / "objects/info/alternates").write_text(f"{repository.git.objects}\n")
    return place


def move(place: Path, tips: dict[str, Sha]) -> None:
    """Have the branches of the upstream stand at their tips; those that are not among them are not there."""
    wanted = {f"refs/heads/{name}": sha for name, sha in tips.items()}
    there = git(place, "for-each-ref", "--format=%(refname)", "refs/heads").split()
    for ref in set(there) - set(wanted):
        git(place, "update-ref", "-d", ref)
    for ref, sha in wanted.items():
        git(place, "update-ref", ref, sha)


def git(where: Path, *args: str) -> str:
    argv = ["git", f"--git-dir={where}", *args]
    return subprocess.run(argv, env=environment(local=True), capture_output=True, text=True, check=True).stdout.strip()


def evening_tips(repository: Repository, branches: Sequence[str], day: date) -> dict[str, Sha]:
    """Where each branch, given as NAME or NAME=REF, stood on the evening of a day; the first one is always there."""
    tips = dict[str, Sha]()
    for branch in branches:
        name, _, ref = branch.partition("=")
        tip = evening_tip(repository, ref or name, day)
        if not tips or repository.merge_base(tip, next(iter(tips.values()))) != tip:
            tips[name] = tip
    return tips


def one_day(config: Config, work: Path, repository: Repository, day: date, tip: Sha, kept: Kept) -> Day:
    """The cycle of an evening."""
    began, evening = time.monotonic(), datetime.combine(day, _EVENING).timestamp()

    def clock() -> float:
        return evening + time.monotonic() - began

    store = Store(work, clock)
    builds, runs = len(store.builds()), len(store.runs(logs=False))
    events = {entry.regression.id: len(entry.record.history) for entry in store.regressions()}
    mails = len(kept.read())
    result = cycle(config, work, Lines(clock), threading.Event(), clock=clock)
    noted = []
    for entry in store.regressions():
        name = entry.regression.id
        past = entry.record.history[events.get(name, 0) :]
        if name not in events:
            noted.append(f"{name}: {entry.regression.signature}: {entry.finding}")
        noted += [f"{name}: {told(happened.event)}" for happened in past]
    return Day(
        day=day.isoformat(),
        tip=tip,
        subject=repository.commit(tip).subject,
        result=result,
        builds=dict(Counter(str(build.kind) for build in store.builds()[builds:])),
        runs=dict(
            Counter(str(run.outcome) for run in store.runs(logs=False)[runs:] if run.outcome is not Outcome.INFRA)
        ),
        noted=tuple(noted),
        mails=tuple(f"{mail['Message-ID']} {mail['Subject']}" for mail in kept.read()[mails:]),
        seconds=round(time.monotonic() - began, 1),
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.replay", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--from", dest="first", type=date.fromisoformat)
    parser.add_argument("--to", dest="last", type=date.fromisoformat)
    parser.add_argument("--on", type=date.fromisoformat, nargs="+", default=[])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--branch", nargs="+", default=["master"])
    parser.add_argument("--set", dest="settings", nargs="+", default=[])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    if not given.on and not (given.first and given.last):
        parser.error("which days? give --from and --to, or --on")
    repository, work = Repository(given.repo), given.work.absolute()
    (work / "bot").mkdir(parents=True, exist_ok=True)
    place = upstream(repository, work / "upstream", given.branch[0].partition("=")[0])
    kept = Kept(work / "mails")
    port = free_port()
    server = Controller(kept, hostname="127.0.0.1", port=port)
    server.start()
    try:
        settings = [
            f"upstream.url={place}", "report.send=smtp", "report.smtp.host=127.0.0.1", f"report.smtp.port={port}",
            "report.smtp.tls=none", "report.approval=automatic", "report.domains=['*']", *given.settings,
        ]  # fmt: skip
        config = load(given.config, settings)
        done = work / "days"
        done.mkdir(exist_ok=True)
        all_days = []
        for day in sorted(given.on) or days(given.first, given.last):
            note = done / f"{day}.json"
            if note.exists():
                lived = Day(**json.loads(note.read_text()))
            else:
                tips = evening_tips(repository, given.branch, day)
                move(place, tips)
                lived = one_day(config, work / "bot", repository, day, next(iter(tips.values())), kept)
                note.write_text(json.dumps(asdict(lived)))
            all_days.append(lived)
            if not given.json:
                print(line(lived), flush=True)
    finally:
        server.stop()
    if given.json:
        print(json.dumps([asdict(day) for day in all_days], indent=1))
    else:
        total = sum(day.seconds for day in all_days)
        print(f"{len(all_days)} days, {total:.0f} s, {sum(len(day.mails) for day in all_days)} mails")
    return 0


def line(day: Day) -> str:
    builds, runs = (
        ", ".join(f"{n} {kind}" for kind, n in sorted(part.items())) or "-" for part in (day.builds, day.runs)
    )
    texts = [f'{day.day} {day.tip[:12]} ("{day.subject}")  builds: {builds}; runs: {runs}; {day.seconds:.0f} s']
    texts += [f"    {text}" for text in (*day.noted, *(f"mail {mail}" for mail in day.mails))]
    return "\n".join(texts)


if __name__ == "__main__":
    sys.exit(main())
