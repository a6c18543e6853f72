"""The executor: the same contract for tests that are done here and by workers, then what only workers can do wrong."""

from __future__ import annotations

import os
import pickle
import re
import shlex
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import psutil
import pytest

from bot.bisect.crew import Perform
from bot.config import load
from bot.errors import InfraError, Stopped, UserError
from bot.host import picks
from bot.host.executor import Remote, Task
from bot.host.git import Repository
from bot.host.patches import compose, series
from bot.model import Link, Outcome, Run
from bot.model import Test as Job
from bot.pipeline.bench import Bench
from bot.pipeline.hands import needs, performer
from bot.progress import Silent
from bot.worker import COMMAND, CommandRig
from bot.workshop import Order
from tests.testing.cluster import Cluster, authority, certificate, free_port, processes_in, until
from tests.testing.history import History, draw
from tests.testing.tmpfs import tmpfs

Sending = Callable[..., Perform]
"""A command to what performs tests by it."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return draw(tmp_path_factory.mktemp("upstream") / "r", "0 1 2 3 4 5 6 7")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, history: History) -> Iterator[Cluster]:
    """A scheduler and one worker; tests that end a worker start their own."""
    made = Cluster(
        tmp_path_factory.mktemp("cluster"), f"tls://127.0.0.1:{free_port()}", {"timeout": "3s", "retries": "1"}
    )
    made.configuration()
    try:
        made.scheduler()
        made.workers("steady", repo=history.repository.path)
        yield made
    finally:
        made.close()


def link(cluster: Cluster) -> Link:
    given = load(cluster.path / "config.yaml", environ={}).executor.link
    assert given is not None
    return given


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def remote(cluster: Cluster, said: list[str]) -> Iterator[Remote]:
    made = Remote(link(cluster), said.append)
    yield made
    made.close()


def sending(repository: Repository, work: Path, remote: Remote | None) -> Sending:
    class Desk:
        """What a performer needs of a bench."""

        def __init__(self) -> None:
            self.remote, self.repository = remote, repository

    def command(*argv: str, stop: threading.Event | None = None) -> Perform:
        rig = CommandRig(repository, argv, work / "command", 60.0, Silent(), stop or threading.Event())
        return performer(cast(Bench, Desk()), rig)

    return command


@pytest.fixture(params=["here", "worker"])
def send(request: pytest.FixtureRequest, history: History, tmp_path: Path) -> Sending:
    far: Remote | None = request.getfixturevalue("remote") if request.param == "worker" else None
    return sending(history.repository, tmp_path, far)


def elsewhere(argument: str) -> list[psutil.Process]:
    """Processes that have a word in their command line."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if argument in (process.info["cmdline"] or ()):
            found.append(process)
    return found


# -- the contract --------------------------------------------------------------------------------------------------


def test_facts_come_in_their_order_and_say_what_they_are_of(history: History, send: Sending, tmp_path: Path) -> None:
    count = shlex.quote(str(tmp_path / "count"))
    perform = send("sh", "-c", f"echo >>{count}; exit $(($(wc -l <{count}) - 1))")
    runs = list(perform(Job(history["3"], (COMMAND,), times=3), threading.Event()))
    assert [run.observation.message for run in runs if isinstance(run, Run)] == ["exit 0", "exit 1", "exit 2"]
    assert {run.commit for run in runs} == {history["3"]}
    assert len({run.setup for run in runs if isinstance(run, Run)}) == 1


def test_a_fact_is_told_before_the_next_is_known(history: History, send: Sending, tmp_path: Path) -> None:
    here = shlex.quote(str(tmp_path))
    perform = send("sh", "-c", f"test -e {here}/first || {{ touch {here}/first; exit 0; }}; "
                   f"while ! test -e {here}/go; do sleep 0.05; done; exit 1")  # fmt: skip
    facts = perform(Job(history["3"], (COMMAND,), times=2), threading.Event())
    first = next(facts)
    assert isinstance(first, Run) and first.outcome is Outcome.PASS
    (tmp_path / "go").touch()
    assert [fact.outcome for fact in facts if isinstance(fact, Run)] == [Outcome.FAIL_DST]


def test_what_is_stopped_ends_with_its_processes(history: History, send: Sending, tmp_path: Path) -> None:
    mark = f"{os.getpid()}{time.monotonic_ns() % 10**6}"
    stop = threading.Event()
    facts = send("sh", "-c", f"touch {shlex.quote(str(tmp_path))}/began; sleep {mark} & wait")(
        Job(history["3"], (COMMAND,)), stop
    )

    def person() -> None:
        until((tmp_path / "began").exists, "it does not begin")
        until(lambda: elsewhere(mark), "it does not run")
        stop.set()

    thread = threading.Thread(target=person)
    thread.start()
    with pytest.raises(Stopped):
        next(facts)
    thread.join()
    until(lambda: not elsewhere(mark), "its process goes on")


def test_what_nobody_reads_any_more_ends_with_its_processes(history: History, send: Sending, tmp_path: Path) -> None:
    """As where a search is given up."""
    mark = f"{os.getpid()}{time.monotonic_ns() % 10**6}"
    here = shlex.quote(str(tmp_path))
    perform = send("sh", "-c", f"test -e {here}/first || {{ touch {here}/first; exit 0; }}; sleep {mark}")
    facts = perform(Job(history["3"], (COMMAND,), times=2), threading.Event())
    next(facts)
    facts.close()  # type: ignore[attr-defined] # a generator
    until(lambda: not elsewhere(mark), "its process goes on")


def test_errors_are_of_their_own_type(history: History, send: Sending) -> None:
    with pytest.raises(InfraError, match=r"exited 200 on .*; as with `git bisect run`, the search stops"):
        list(send("sh", "-c", "exit 200")(Job(history["3"], (COMMAND,)), threading.Event()))
    with pytest.raises(UserError, match="cannot run no-such-program"):
        list(send("no-such-program")(Job(history["3"], (COMMAND,)), threading.Event()))


# -- workers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def away(history: History, remote: Remote, tmp_path: Path) -> Sending:
    return sending(history.repository, tmp_path, remote)


def test_errors_and_runs_say_which_host_it_was(history: History, away: Sending) -> None:
    (run,) = away("true")(Job(history["1"], (COMMAND,)), threading.Event())
    assert run.host == "steady"
    with pytest.raises(InfraError, match=r"^steady: sh -c exit 200"):
        list(away("sh", "-c", "exit 200")(Job(history["1"], (COMMAND,)), threading.Event()))


def test_what_no_worker_has_is_an_error_after_a_bound(remote: Remote, history: History) -> None:
    task = Task("a test", Order(Job(history["1"], (COMMAND,)), {}), {"slot": 1, "kvm-pdp11": 1})
    began = time.monotonic()
    with pytest.raises(InfraError, match=r"needs kvm-pdp11 1, slot 1, since 3 s .*steady has .*slot 1"):
        list(remote.perform(task, threading.Event()))
    assert 3 <= time.monotonic() - began < 20


def test_kvm_is_a_resource() -> None:
    tcg, kvm = replace(COMMAND, target="ppc64-softmmu"), replace(COMMAND, target="ppc64-softmmu", accel="kvm")
    assert "kvm-ppc64" not in needs(Job("0" * 40, (tcg,)))
    assert needs(Job("0" * 40, (tcg, kvm)))["kvm-ppc64"] == 1


def test_a_worker_that_is_killed_and_its_test_is_done_by_another(
    cluster: Cluster, away: Sending, history: History, tmp_path: Path, said: list[str]
) -> None:
    """Pinned to it, even; what it had told is there, and nothing of it runs on."""
    cluster.workers("doomed", repo=history.repository.path)
    here, mark = shlex.quote(str(tmp_path)), f"{os.getpid()}{time.monotonic_ns() % 10**6}"
    elsewhere_bad = "case $PWD in *doomed*) ;; *) exit 1 ;; esac; "
    once = f"test -e {here}/first || {{ touch {here}/first; exit 0; }}; touch {here}/second; exec sleep {mark}"
    perform = away("sh", "-c", elsewhere_bad + once)
    facts = perform(Job(history["3"], (COMMAND,), times=2, host="doomed"), threading.Event())
    first = cast(Run, next(facts))
    assert (first.host, first.outcome) == ("doomed", Outcome.PASS)
    until((tmp_path / "second").exists, "no second run")
    cluster.kill("doomed")
    rest = [(run.host, run.outcome) for run in facts if isinstance(run, Run)]
    assert rest == [("steady", Outcome.FAIL_DST)] * 2
    until(lambda: not elsewhere(mark), "the process of the killed worker goes on")


def test_a_worker_that_is_told_to_end_and_its_test_is_done_by_another(
    cluster: Cluster, away: Sending, history: History, tmp_path: Path
) -> None:
    """As where its host is restarted: nobody asked that the search end."""
    cluster.workers("leaving", repo=history.repository.path)
    began = shlex.quote(str(tmp_path / "began"))
    perform = away("sh", "-c", f"case $PWD in *leaving*) touch {began}; exec sleep 600 ;; esac; exit 1")
    found: list[object] = []

    def search() -> None:
        try:
            found.extend(perform(Job(history["3"], (COMMAND,), host="leaving"), threading.Event()))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    until((tmp_path / "began").exists, "it does not begin")
    cluster.kill("leaving", signal.SIGTERM)
    thread.join()
    (run,) = found
    assert isinstance(run, Run) and (run.host, run.outcome) == ("steady", Outcome.FAIL_DST)
    assert not processes_in(cluster.path / "leaving/command")


def test_workers_that_are_lost_one_after_another_are_an_error(
    cluster: Cluster, history: History, tmp_path: Path, away: Sending
) -> None:
    """As many as executor.retries says, and the first: the test is what kills them."""
    names = ("one", "two")
    cluster.workers(*names, repo=history.repository.path)
    pids = {name: cluster.processes[name].pid for name in names}
    (tmp_path / "pids").write_text("".join(f"{name} {pid}\n" for name, pid in pids.items()))
    kill = f'kill -9 $(sed -n "s/^$(basename $(dirname $PWD)) //p" {shlex.quote(str(tmp_path))}/pids); exec sleep 60'
    perform = away("sh", "-c", f"case $PWD in *steady*) exec sleep 60 ;; esac; {kill}")
    hold, held = threading.Event(), threading.Event()

    def busy() -> None:
        facts = away("sh", "-c", f"touch {shlex.quote(str(tmp_path))}/held; sleep 60")(
            Job(history["1"], (COMMAND,), host="steady"), hold
        )
        with pytest.raises(Stopped):
            next(facts)
        held.set()

    thread = threading.Thread(target=busy)
    thread.start()
    until((tmp_path / "held").exists, "steady is not busy")
    with pytest.raises(InfraError, match="2 workers were lost while they did the test of"):
        list(perform(Job(history["3"], (COMMAND,)), threading.Event()))
    hold.set()
    thread.join()
    for name in names:
        cluster.processes.pop(name).wait(60)


def test_a_coordinator_that_is_killed_and_its_test_ends(cluster: Cluster, history: History, tmp_path: Path) -> None:
    mark = f"{os.getpid()}{time.monotonic_ns() % 10**6}"
    range_, repository = f"{history['0']}..{history['7']}", str(history.repository.path)
    cluster.start("killed", "bisect", range_, "--repo", repository, "--", "sh", "-c", f"sleep {mark} & wait")
    until(lambda: elsewhere(mark), lambda: f"no test:\n{cluster.log('killed')}")
    cluster.kill("killed")
    until(lambda: not elsewhere(mark), "the test goes on")


def test_commits_that_only_the_coordinator_has_go_with_the_test(
    cluster: Cluster, remote: Remote, history: History, tmp_path: Path
) -> None:
    """A revert, and what a person committed and did not push: the worker's clone has neither."""
    mine = tmp_path / "mine"
    subprocess.run(["git", "clone", "-q", str(history.repository.path), str(mine)], check=True)
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for name in ("x", "y"):
        (mine / name).write_text(name)
        subprocess.run(["git", *who, "add", name], cwd=mine, check=True)
        subprocess.run(["git", *who, "commit", "-q", "-m", name], cwd=mine, check=True)
    repository = Repository(mine)
    tip = repository.resolve("HEAD")
    reverted = picks.compose(repository, tip, (picks.Revert(history["5"]),))
    assert isinstance(reverted, str)
    perform = sending(repository, tmp_path, remote)("sh", "-c", "test -e x -a -e y -a ! -e n/5")
    for sha, outcome in ((tip, Outcome.FAIL_DST), (reverted, Outcome.PASS)):
        (run,) = perform(Job(sha, (COMMAND,)), threading.Event())
        assert isinstance(run, Run) and (run.commit, run.outcome, run.host) == (sha, outcome, "steady")


def test_what_somebody_posted_is_known_for_that_on_a_worker(remote: Remote, history: History, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    subprocess.run(["git", "clone", "-q", str(history.repository.path), str(mine)], check=True)
    diff = "diff --git a/posted b/posted\nnew file mode 100644\n--- /dev/null\n+++ b/posted\n@@ -0,0 +1 @@\n+a\n"
    mail = f"From: A <a@example.org>\nSubject: [PATCH] add it\n\n---\n{diff}"
    found = series(mail.encode(), "a mail")
    made = compose(Repository(mine), history["7"], found.patches, tmp_path)
    perform = sending(Repository(mine), tmp_path, remote)("test", "-e", "posted")
    (run,) = perform(Job(made, (COMMAND,)), threading.Event())
    assert isinstance(run, Run) and (run.outcome, run.host) == (Outcome.PASS, "steady")
    assert history.repository.posted(made) and not history.repository.posted(history["7"])


def test_a_worker_without_the_history_says_so(
    cluster: Cluster, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much to send has to be fetched there, and its clone is a person's, from which nothing is fetched."""
    monkeypatch.setattr("bot.host.bundles.LARGEST", 100)
    other = draw(tmp_path / "other", "p q r")
    perform = sending(other.repository, tmp_path, remote)("true")
    with pytest.raises(InfraError, match=rf"steady: its clone has not {other['r'][:12]}, nor what leads there"):
        list(perform(Job(other["r"], (COMMAND,)), threading.Event()))


def test_a_host_whose_disk_is_full_and_the_test_is_done_by_another(
    cluster: Cluster, away: Sending, history: History, tmp_path: Path, said: list[str]
) -> None:
    """The one that it is for; what it had told before counts."""
    with tmpfs(cluster.path / "full", "4m"):
        cluster.workers("full", repo=history.repository.path)
        fill = "case $PWD in *full*) rm -r n; cat /dev/zero >../fill 2>/dev/null ;; *) exit 1 ;; esac; exit 0"
        perform = away("sh", "-c", fill)
        first, *rest = perform(Job(history["3"], (COMMAND,), times=2, host="full"), threading.Event())
        assert (first.host, [run.host for run in rest]) == ("full", ["steady", "steady"])
        assert [run.outcome for run in rest if isinstance(run, Run)] == [Outcome.FAIL_DST] * 2
        (why,) = said
        assert why.startswith("full: ") and "unable to write file" in why and why.endswith("once more, elsewhere")
        cluster.kill("full")


def test_a_clone_that_lacks_the_commit_and_the_test_is_done_by_another(
    cluster: Cluster, away: Sending, history: History, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.host.bundles.LARGEST", 100)
    cluster.workers("strange", repo=draw(tmp_path / "other", "p q r").repository.path)
    (run,) = away("true")(Job(history["3"], (COMMAND,), host="strange"), threading.Event())
    assert isinstance(run, Run) and (run.host, run.outcome) == ("steady", Outcome.PASS)
    assert len(said) == 1 and said[0].startswith(f"strange: its clone has not {history['3'][:12]}")
    cluster.kill("strange")


def test_a_worker_with_another_bot_or_other_files_does_nothing(
    cluster: Cluster, remote: Remote, history: History
) -> None:
    job = Job(history["1"], (COMMAND,))
    order = Order(job, {COMMAND: "another setup"}, command=("true",), timeout=9.0)
    with pytest.raises(InfraError, match="steady: the command's files are not the same here as on the coordinator"):
        list(remote.perform(Task("a test", order, {"slot": 1}), threading.Event()))


def test_nothing_listens_but_tls_and_no_stranger_is_let_in(cluster: Cluster, tmp_path: Path) -> None:
    port = int(cluster.address.rpartition(":")[2])
    authority(tmp_path / "evil")
    certificate(tmp_path / "evil", "host", tmp_path / "evil")
    for name in ("scheduler", "steady"):
        connections = psutil.Process(cluster.processes[name].pid).net_connections()
        (place,) = {c.laddr for c in connections if c.status == psutil.CONN_LISTEN}
        assert place.port == port if name == "scheduler" else place.ip.startswith("127.")
        assert _handshake(place, None) == "refused"
        assert _handshake(place, tmp_path / "evil") == "refused"
        assert _handshake(place, cluster.path / "tls") == "taken"
    evil = tmp_path / "evil"
    stranger = replace(link(cluster), ca=evil / "ca.pem", cert=evil / "host.pem", key=evil / "host.key")
    with pytest.raises(InfraError, match="no scheduler answers at tls://"):
        Remote(stranger, lambda _: None).hosts()


def _handshake(place: tuple[str, int], tls: Path | None) -> str:
    """Whether somebody with the keys of a directory, or without any, is talked to after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if tls is not None:
        context.load_cert_chain(tls / "host.pem", tls / "host.key")
    with socket.create_connection(place, timeout=10) as plain:
        try:
            with context.wrap_socket(plain) as secure:
                return "taken" if secure.recv(1) else "refused"
        except (ssl.SSLError, ConnectionError):
            return "refused"


@pytest.mark.parametrize("odd", [False, True], ids=["at once", "after an odd error"])
def test_a_scheduler_that_ends_ends_the_tests_and_is_found_again(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: bool
) -> None:
    """The coordinator says so; the worker ends what it runs, and serves the next scheduler.

    A TLS handshake with a scheduler that is just dying may end in a `ValueError` of tornado's: dask's own client, which
    tries to connect again, would be "connecting" for ever after that.
    """
    cluster = Cluster(tmp_path, f"tls://127.0.0.1:{free_port()}")
    cluster.configuration()
    remote = Remote(link(cluster), lambda _: None)

    async def broken(*_: object, **__: object) -> None:
        raise ValueError("IOStream is not idle; cannot convert to SSL")

    mark = f"{os.getpid()}{time.monotonic_ns() % 10**6}"
    try:
        cluster.scheduler()
        cluster.workers("lonely", repo=history.repository.path)
        facts = sending(history.repository, tmp_path, remote)("sleep", mark)(
            Job(history["3"], (COMMAND,)), threading.Event()
        )

        def end_it() -> None:
            until(lambda: elsewhere(mark), "no test")
            if odd:
                monkeypatch.setattr("distributed.client.connect", broken)
            cluster.kill("scheduler")

        thread = threading.Thread(target=end_it)
        thread.start()
        with pytest.raises(InfraError, match=r"the scheduler tls://.* was lost while the test of"):
            next(facts)
        thread.join()
        until(lambda: not elsewhere(mark), "the test goes on")
        cluster.said("lonely", "was lost; what was going on is ended")
        monkeypatch.undo()
        (tmp_path / "scheduler.log").unlink()
        cluster.scheduler()
        cluster.said("scheduler", "lonely has come")
        (run,) = sending(history.repository, tmp_path, remote)("true")(Job(history["3"], (COMMAND,)), threading.Event())
        assert run.host == "lonely"
        cluster.kill("lonely", signal.SIGTERM)
        cluster.said("scheduler", "lonely has gone")
        assert not processes_in(tmp_path / "lonely/command")
    finally:
        remote.close()
        cluster.close()


def test_without_a_scheduler_it_is_said(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, f"tls://127.0.0.1:{free_port()}")
    cluster.configuration()
    with pytest.raises(InfraError, match=r"no scheduler answers at tls://127\.0\.0\.1"):
        Remote(link(cluster), lambda _: None).hosts()


def test_what_travels_is_the_settings_of_tests_alone(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the configuration's other sections, of keys, of the environment: as it is when it is handed over."""
    sent: list[object] = []

    class Postman:
        def perform(self, task: Task, _stop: threading.Event) -> Iterator[object]:
            sent.append(task.payload)
            yield from ()

    monkeypatch.setenv("SMTP_PASSWORD", "hunter2")
    perform = sending(history.repository, tmp_path, cast(Remote, Postman()))("true")
    assert list(perform(Job(history["1"], (COMMAND,)), threading.Event())) == []
    (order,) = sent
    assert isinstance(order, Order)
    modules = {name.decode() for name in re.findall(rb"bot\.[a-z.]+", pickle.dumps(order))}
    assert modules <= {"bot.workshop", "bot.model.search", "bot.model.smoke"}
    assert b"hunter2" not in pickle.dumps(order)
