"""A bisection over several hosts, each in a network of its own: one is killed and one cut off in the middle of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.store.store import Store
from tests.testing.cluster import Cluster, Networks, no_networks, until
from tests.testing.history import History, draw

WHY_NOT = no_networks()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
WORKERS = ("alpha", "beta", "gamma")
COMMITS = 33


@pytest.fixture
def history(tmp_path: Path) -> History:
    return draw(tmp_path / "upstream", " ".join(map(str, range(COMMITS))))


@pytest.fixture
def networks() -> Iterator[Networks]:
    with Networks(*WORKERS) as made:
        yield made


@pytest.fixture
def cluster(tmp_path: Path, networks: Networks, history: History) -> Iterator[Cluster]:
    made = Cluster(tmp_path, f"tls://{networks.address}:8786", inside=networks.hub)
    made.configuration()
    try:
        made.scheduler()
        made.workers(*WORKERS, repo=history.repository.path, inside={name: networks.of(name) for name in WORKERS})
        yield made
    finally:
        made.close()


def asked(cluster: Cluster, history: History) -> list[str]:
    """What a person types: 20 broke it. A run notes where it is made; a probe waits where it is to be held."""
    here = shlex.quote(str(cluster.path))
    test = f'host=$(basename "$(dirname "$PWD")"); name=$(git log -1 --format=%s); echo "$host $name" >>{here}/ran; '
    test += f"while test -e {here}/hold-$host -a $name != 0 -a $name != {COMMITS - 1}; do "
    test += f"touch {here}/held-$host; sleep 0.1; done; test ! -e n/20"
    range_ = f"{history['0']}..{history[str(COMMITS - 1)]}"
    options = ["--set", "bisect.min_runs=3", "bisect", range_, "--repo", str(history.repository.path), "--jobs", "3"]
    return [*options, "--", "sh", "-c", test]


@pytest.mark.timeout(240)
def test_one_worker_is_killed_and_one_cut_off_in_the_middle(
    cluster: Cluster, networks: Networks, history: History
) -> None:
    """All three are held in a probe each; of two that are lost at least one is needed, whatever the third says."""
    path = cluster.path
    for name in WORKERS:
        (path / f"hold-{name}").touch()
    bisecting = cluster.start("work", *asked(cluster, history))
    until(
        lambda: all((path / f"held-{name}").exists() for name in WORKERS),
        lambda: f"no probe on each:\n{(path / 'ran').read_text()}\n{cluster.log('work')}",
    )
    assert cluster.below("beta/command") and cluster.below("gamma/command")
    probes = [line.split() for line in (path / "ran").read_text().splitlines()]
    lost = {name for host, name in probes if host != "alpha" and name not in ("0", str(COMMITS - 1))}
    assert len(lost) == 2
    cluster.kill("beta")
    networks.cut("gamma")
    for name in ("beta", "gamma"):
        cluster.said("scheduler", f"{name} has gone")
    (path / "hold-alpha").unlink()
    assert bisecting.wait(timeout=200) == 0, cluster.log("work")
    log = cluster.log("work")
    assert f"first bad commit: {history['20'][:12]}" in log
    again = {name for name in lost if f"alpha {name}\n" in (path / "ran").read_text()}
    moved = {name for name in lost if f"was lost; the test of {history[name][:12]} once more on alpha" in log}
    needless = {name for name in lost if f"{history[name][:12]} is not tested to its end" in log}
    assert again and again <= moved  # what had just been begun anew may lose its use before its command runs
    assert moved | needless == lost
    assert log.count("was lost; the test of") == len(moved)
    until(lambda: not cluster.below("beta/command"), "what the killed worker ran goes on")
    until(lambda: not cluster.below("gamma/command"), "what the worker runs that was cut off goes on")
    report = json.loads((path / "work/out/r0001/report.json").read_text())["report"]
    assert report["host"].startswith("worker alpha")
    assert report["finding"]["confirmation"]["culprit"] == {"commit": history["20"], "bad": 3, "n": 3}
    confirmed = [run for run in Store(path / "work").runs(logs=False) if run.commit == history["20"]]
    assert [run.host for run in confirmed] == ["alpha"] * 3
    (path / "hold-gamma").unlink()
    networks.mend("gamma")
    until(lambda: cluster.log("gamma").count("connected to") == 2, lambda: f"no gamma:\n{cluster.log('gamma')}")
    assert "was lost; what was going on is ended" in cluster.log("gamma")
