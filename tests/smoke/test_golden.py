"""Recorded streams: made once, checked, used; whatever is wrong with one, two live processes decide."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bot.model import Direction, Observation, Outcome, Profile
from bot.smoke.golden import Golden, Goldens
from bot.smoke.judge import Facts
from bot.smoke.plan import Plan
from tests.smoke.conftest import BARE, Smoke
from tests.testing.qemu import faulty, installed, second

RUNNING = Profile("running", (), run=0.5)


@pytest.fixture
def forward(run: Smoke, tmp_path: Path) -> Smoke:
    """A case from 7.2 to 10.0, with streams in tmp_path/goldens."""

    def call(profile: Profile = BARE, **options: object) -> Observation:
        defaults = {"destination": second(), "direction": Direction.FORWARD, "goldens": Goldens(tmp_path / "goldens")}
        return run(profile, **defaults | options)

    return call


@pytest.mark.parametrize("profile", [BARE, RUNNING], ids=lambda profile: profile.name)
def test_a_stream_stands_for_the_source(forward: Smoke, tmp_path: Path, profile: Profile) -> None:
    first, again = forward(profile), forward(profile)
    for seen in (first, again):
        assert seen.outcome is Outcome.PASS and seen.stream is not None
        file = tmp_path / "goldens/streams" / seen.stream
        assert hashlib.sha256(file.read_bytes()).hexdigest() == seen.stream
        assert seen.argv[0][0] == str(installed().path) and seen.argv[1][0] == str(second().path)
        assert [log.name for log in seen.logs if log.name.endswith("qmp")] == ["source.qmp", "destination.qmp"]
        assert "exec:cat >" in seen.logs[1].text
    assert first.stream == again.stream
    assert len(list((tmp_path / "goldens/streams").iterdir())) == 1
    assert not list(tmp_path.rglob("*.part"))


def test_one_process_is_started_then(forward: Smoke, tmp_path: Path) -> None:
    """The source's binary is counted: made and checked with two starts, then never started again."""
    starts = tmp_path / "starts"
    counted = faulty(tmp_path / "bin", f"echo >>{starts}")
    forward(source=counted)
    before = starts.read_text().count("\n")
    forward(source=counted)
    assert before == 2 and starts.read_text().count("\n") == before


@pytest.mark.parametrize(
    ("profile", "options"),
    [
        (Profile("guest", ("-nodefaults",), run=0.2, guest=True), {}),
        (BARE, {"method": "exec"}),
        (BARE, {"direction": Direction.BACKWARD}),
        (BARE, {"direction": Direction.SAME, "destination": installed()}),
    ],
)
def test_where_a_stream_does_not_fit_both_live(forward: Smoke, profile: Profile, options: dict[str, object]) -> None:
    seen = forward(profile, **options)
    assert seen.outcome is Outcome.PASS and seen.stream is None


def test_what_made_it_names_it(forward: Smoke, tmp_path: Path) -> None:
    """Another machine type, profile or binary is another entry; the same content is one file."""
    forward()
    forward(Profile("other name", BARE.args))
    assert len(list((tmp_path / "goldens/index").iterdir())) == 1
    forward(Profile("rng", (*BARE.args, "-device", "virtio-rng-pci")))
    forward(machine="pc-q35-7.2")
    forward(source=faulty(tmp_path / "bin", ":"))
    assert len(list((tmp_path / "goldens/index").iterdir())) == 4


@pytest.mark.parametrize("damage", ["cut", "gone", "not json", "another format"])
def test_a_damaged_entry_is_made_anew(forward: Smoke, tmp_path: Path, damage: str) -> None:
    seen = forward()
    stream = tmp_path / "goldens/streams" / str(seen.stream)
    index = next((tmp_path / "goldens/index").iterdir())
    if damage == "cut":
        stream.write_bytes(stream.read_bytes()[:-100])
    elif damage == "gone":
        stream.unlink()
    elif damage == "not json":
        index.write_text("{")
    else:
        index.write_text(json.dumps(json.loads(index.read_text()) | {"format": 0}))
    again = forward()
    assert again.outcome is Outcome.PASS and again.stream is not None
    whole = tmp_path / "goldens/streams" / again.stream
    assert hashlib.sha256(whole.read_bytes()).hexdigest() == again.stream


def test_a_stream_that_its_own_baseline_does_not_load_is_not_used(forward: Smoke, tmp_path: Path) -> None:
    """isapc of 7.2 with default devices: the stream is written well and aborts whoever loads it."""
    seen = forward(Profile("default"), machine="isapc")
    assert seen.stream is None
    assert not (tmp_path / "goldens/index").exists()


def test_a_failure_is_repeated_with_two_live_processes(forward: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    assert forward().stream is not None
    loads = []
    original = Golden.load

    async def bad(self: Golden, plan: Plan, directory: Path, sockets: Path) -> Facts:
        loads.append(self.sha256)
        return await original(replace(self, path=Path("/dev/null")), plan, directory, sockets)

    monkeypatch.setattr(Golden, "load", bad)
    seen = forward()
    assert loads and seen.outcome is Outcome.PASS and seen.stream is None, seen.message
    assert "unix:" in seen.logs[1].text


def test_a_real_failure_comes_from_the_live_ones(forward: Smoke) -> None:
    profile = Profile("p", BARE.args, source_args=("-device", "virtio-rng-pci"))
    seen = forward(profile)
    assert seen.outcome is Outcome.FAIL_DST and seen.stream is None
    assert '"migrate"' in seen.logs[1].text and seen.signature is not None
    assert seen.signature.klass == "unknown-section"


def test_a_failure_starts_the_source_no_oftener_than_it_must(forward: Smoke, tmp_path: Path) -> None:
    """For one live migration. What was loaded before it failed the stream tells; else that takes another start."""
    starts = tmp_path / "starts"
    counted = faulty(tmp_path / "bin", f"echo >>{starts}")
    other = faulty(tmp_path / "other", 'set -- "$@" -global virtio-rng-pci.disable-legacy=on')
    profile = Profile("p", (*BARE.args, "-device", "virtio-rng-pci"))
    first = forward(profile, source=counted, destination=other)
    before = starts.read_text().count("\n")
    again = forward(profile, source=counted, destination=other)
    after = starts.read_text().count("\n")
    live = forward(profile, source=counted, destination=other, goldens=None)
    assert first.outcome is again.outcome is Outcome.FAIL_DST and first.signature == again.signature == live.signature
    assert first.loaded == again.loaded == live.loaded != ()
    assert (after - before, starts.read_text().count("\n") - after) == (1, 2)


def test_many_threads_make_one_stream(forward: Smoke, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    counted = faulty(tmp_path / "bin", f"echo >>{starts}")
    goldens = Goldens(tmp_path / "goldens")
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda _: forward(source=counted, goldens=goldens), range(6)))
    assert {observation.outcome for observation in seen} == {Outcome.PASS}
    assert starts.read_text().count("\n") == 2


def test_those_not_used_for_longest_go_first(forward: Smoke, tmp_path: Path) -> None:
    goldens = Goldens(tmp_path / "goldens", size=1)
    machines = ("pc-i440fx-7.2", "pc-q35-7.2", "pc-i440fx-5.2")
    seen = [forward(machine=machine, goldens=goldens) for machine in machines]
    assert [path.name for path in (tmp_path / "goldens/streams").iterdir()] == [seen[-1].stream]
    again = forward(machine=machines[0], goldens=Goldens(tmp_path / "goldens"))
    assert again.outcome is Outcome.PASS and again.stream is not None
    assert len(list((tmp_path / "goldens/streams").iterdir())) == 2
