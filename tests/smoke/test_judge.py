"""The rules, on facts that a real run would rarely give."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.model import Outcome, Signature
from bot.smoke.judge import Facts, Side, Stage, expected_runstate, judge

SIDE = Side("source", ("qemu", "-S"), True, None, "completed", "postmigrate", "", "", "")
GOOD = Facts(
    "pc-q35-7.2",
    source=SIDE,
    destination=replace(SIDE, name="destination", runstate="prelaunch"),
    stage=Stage.DONE,
    s0="prelaunch",
)


def facts(
    source: dict[str, object] | None = None, destination: dict[str, object] | None = None, **rest: object
) -> Facts:
    """GOOD with changes; `said` is what stderr says unless given."""
    sides = {}
    for name, change in (("source", source or {}), ("destination", destination or {})):
        if "said" in change:
            change.setdefault("stderr", change["said"])
        sides[name] = replace(getattr(GOOD, name), **change)
    return replace(GOOD, **sides, **rest)  # type: ignore[arg-type]  # fields by name, from a table


CAUSE = 'qemu: Unknown ramblock "pc.ram", cannot accept migration'
PIPE = "qemu: Unable to write to socket: Broken pipe"
FAILED = "qemu: load of migration failed: Input/output error"
TABLE: list[tuple[str, Facts, Outcome, str | None]] = [
    ("all well", GOOD, Outcome.PASS, None),
    ("the source says completed, the destination exited",
     facts(destination={"returncode": 1, "said": CAUSE, "migration": "failed"}), Outcome.FAIL_DST, "ramblock"),
    ("broken pipe is only the consequence", facts(
        {"migration": "failed", "said": PIPE}, {"returncode": 1, "said": CAUSE, "migration": None}, stage=Stage.MIGRATE,
    ), Outcome.FAIL_DST, "ramblock"),
    ("broken pipe, and the destination said nothing", facts(
        {"migration": "failed", "said": PIPE}, {"migration": "active"}, stage=Stage.MIGRATE), Outcome.FAIL_SRC, "io"),
    ("the source explains, the destination only fails", facts(
        {"migration": "failed", "said": "qemu: cannot save frob"},
        {"returncode": 1, "said": FAILED, "migration": "failed"}, stage=Stage.MIGRATE), Outcome.FAIL_SRC, "text"),
    ("nobody explains", facts(
        {"migration": "failed"}, {"returncode": 1, "said": FAILED}, stage=Stage.MIGRATE), Outcome.FAIL_DST, "load"),
    ("a silent exit", facts(destination={"returncode": 3}, stage=Stage.MIGRATE), Outcome.FAIL_DST, "exit"),
    ("the source leaves by itself", facts(
        {"returncode": 1, "migration": None}, stage=Stage.SETUP), Outcome.FAIL_SRC, "exit"),
    ("the source crashes, the destination hears no more", facts(
        {"returncode": -11}, {"returncode": 1, "said": FAILED}, stage=Stage.MIGRATE), Outcome.CRASH_SRC, "crash"),
    ("a crash after completed", facts(destination={"returncode": -6}, stage=Stage.CHECK), Outcome.CRASH_DST, "crash"),
    ("killed by somebody", facts(destination={"returncode": -9}, stage=Stage.MIGRATE), Outcome.INFRA, None),
    ("asked to leave by somebody", facts(
        destination={"returncode": 0, "stderr": "qemu: terminating on signal 15 from pid 1"}), Outcome.INFRA, None),
    ("no space", facts(
        {"migration": "failed", "returncode": 1, "said": "qemu: write: No space left on device"}, stage=Stage.MIGRATE,
    ), Outcome.INFRA, None),
    ("deadline", facts(
        {"migration": "active"}, {"migration": "active"}, stage=Stage.MIGRATE, timed_out=True), Outcome.HANG, "hang"),
    ("deadline, but with a reason", facts(
        {"migration": "active"}, {"migration": "active", "said": CAUSE}, stage=Stage.MIGRATE, timed_out=True,
    ), Outcome.HANG, "ramblock"),
    ("the destination does not obey", facts(stage=Stage.CHECK, timed_out=True), Outcome.HANG, "hang"),
    ("migrate is refused", facts(
        stage=Stage.MIGRATE, refused=("source", "State blocked by non-migratable device 'nvme'")),
     Outcome.UNTESTABLE, "unmigratable"),
    ("migrate is refused for another reason", facts(
        stage=Stage.MIGRATE, refused=("source", "There's a migration process in progress")), Outcome.FAIL_SRC, "text"),
    ("migrate-incoming is refused", facts(
        stage=Stage.SETUP, refused=("destination", "The incoming migration has already been started")),
     Outcome.FAIL_DST, "text"),
    ("a line beyond the control run's", facts(destination={"said": CAUSE}), Outcome.FAIL_DST, "ramblock"),
    ("the same at the source", facts({"said": "qemu: oops"}), Outcome.FAIL_SRC, "text"),
    ("cancelled", facts({"migration": "cancelled"}, stage=Stage.MIGRATE), Outcome.FAIL_SRC, None),
    ("an unknown status is no success", facts(
        {"migration": "recover-setup"}, stage=Stage.MIGRATE), Outcome.FAIL_SRC, "status"),
    ("another runstate", facts(destination={"runstate": "running"}), Outcome.SILENT, "runstate"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "given", "outcome", "klass"), TABLE, ids=[row[0] for row in TABLE])
def test_rules(what: str, given: Facts, outcome: Outcome, klass: str | None) -> None:
    found = judge(given)
    assert found.outcome is outcome, what
    assert klass is None or (found.signature is not None and found.signature.klass == klass), found
    assert (outcome is Outcome.PASS) == (found.message == "")
    assert outcome not in (Outcome.PASS, Outcome.INFRA) or found.signature is None


def test_hangs_are_told_apart_by_where_they_stand() -> None:
    one = judge(facts({"migration": "active"}, {"migration": "active"}, stage=Stage.MIGRATE, timed_out=True))
    two = judge(facts({"migration": "device"}, {"migration": "active"}, stage=Stage.MIGRATE, timed_out=True))
    assert one.signature == Signature("hang", detail="migrate: source active, destination active")
    assert two.signature is not None and one.signature.key != two.signature.key


@pytest.mark.parametrize(
    ("machine", "s0", "paused", "expected"),
    [
        ("pc-q35-7.2", "running", False, "running"),
        ("pc-q35-7.2", "running", True, "paused"),
        ("pc-q35-7.2", "prelaunch", True, "prelaunch"),
        ("pc-q35-7.2", "paused", False, "paused"),
        ("pc-i440fx-2.3", "prelaunch", True, "prelaunch"),
        ("pc-i440fx-2.3", "paused", False, "running"),
        ("pc-i440fx-2.3", "paused", True, "paused"),
        ("pc-i440fx-2.4", "paused", False, "paused"),
        ("isapc", "shutdown", False, "shutdown"),
    ],
)
def test_what_the_destination_should_be(machine: str, s0: str, paused: bool, expected: str) -> None:
    assert expected_runstate(machine, s0, ("qemu", *(("-S",) if paused else ()))) == expected
