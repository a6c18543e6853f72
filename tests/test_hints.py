"""`bot hints` as a person meets it: two real QEMUs, what is said of them, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.model import Binary
from tests.testing.qemu import faulty, installed, second

ROOT = Path(__file__).parents[1]


def hints(tmp_path: Path, *args: str, source: Binary, destination: Binary) -> subprocess.CompletedProcess[str]:
    sides = ["--source", str(source.path), "--destination", str(destination.path)]
    done = subprocess.run(
        [sys.executable, "-m", "bot", "-C", str(tmp_path / "work"), "hints", *sides, *args],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_two_releases_of_ppc64(tmp_path: Path) -> None:
    """Each of the first two was checked by migrating: forward says `Unknown savevm section 'icp/server'`, backward
    `cpu/slb: incoming version_id 2 is too new`."""
    done = hints(
        tmp_path, "--machine", "pseries-7.2", "--machine", "pseries-7.1",
        source=installed("ppc64"), destination=second("ppc64"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert out.startswith("qemu 7.2.22") and "pseries-7.1, 7.2 (2 types)" in out and "never a verdict" in out
    sent, known = out.split("what both know")
    assert "  may break forward\n    icp/server: section is gone\n" in sent
    assert "  may break backward\n    cpu: subsection cpu/slb: version 1 -> 2\n" in sent
    assert "esp: with drq_state (1 bytes) now [am53c974, dc390, sysbus-esp]" in known
    assert "not compared" not in out and "[pseries" not in out  # true of both types


def test_a_binary_and_itself(tmp_path: Path) -> None:
    done = hints(tmp_path, "--machine", "pc-q35-7.2", source=installed(), destination=installed())
    assert done.returncode == 0 and "may break" not in done.stdout
    assert done.stdout.count("no differences that do no harm that is known") == 2


def test_an_alias_means_the_source_s_type_on_both_sides(tmp_path: Path) -> None:
    done = hints(tmp_path, "--machine", "q35", "--machine", "q35", source=installed(), destination=second())
    assert done.returncode == 0 and "x86_64: pc-q35-7.2\n" in done.stdout


def test_json_has_all_and_the_scripts_findings_too(tmp_path: Path) -> None:
    (tmp_path / "checker").write_text('Section "e1000" does not exist in dest\n')
    (tmp_path / "table.csv").write_text(',Driver,Property,"old\npc-q35-7.2","new\npc-q35-7.2"\n0,e1000,mit,on,off\n')
    done = hints(
        tmp_path, "--machine", "pc-q35-7.2", "--machine", "pc-i440fx-7.2", "--json",
        "--checker", "checker", "--machine-types", "table.csv",
        source=installed(), destination=second(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["schema"], document["arch"], document["missing"]) == (1, "x86_64", [])
    assert document["source"].startswith("7.2.") and document["destination"].startswith("10.0.")
    assert sorted(document["machines"]) == ["pc-i440fx-7.2", "pc-q35-7.2"]
    rows = document["hints"]
    assert {row["from"] for row in rows} == {"stream", "dump", "checker", "machine-types"}
    assert {
        "from": "machine-types", "kind": "property", "section": "e1000", "detail": "property mit: on -> off",
        "effect": "both", "machines": ["pc-q35-7.2"],
    } in rows  # fmt: skip
    (checked,) = [row for row in rows if row["from"] == "checker"]
    assert (checked["section"], checked["effect"], checked["machines"]) == ("e1000", "forward", [])
    shared = [row for row in rows if row["section"] == "globalstate"]
    assert [(row["effect"], len(row["machines"])) for row in shared] == [(None, 2)]
    single = [row for row in rows if row["section"] == "ich9_ahci" and row["from"] == "stream"]
    assert [row["machines"] for row in single] == [["pc-q35-7.2"]]


def test_devices_are_plugged_on_both_sides(tmp_path: Path) -> None:
    """The break that the dump tells of is in the stream as well, once there is such a device."""
    args = ("--machine", "pc-q35-7.2", "--args", "-nodefaults -device am53c974")
    done = hints(tmp_path, *args, source=installed(), destination=second())
    sent = done.stdout.split("what both know")[0]
    assert "may break both directions\n    pciespscsi: with esp.drq_state (1 bytes) now" in sent


def test_what_cannot_be_compared_is_told_and_is_no_failure(tmp_path: Path) -> None:
    broken = faulty(tmp_path / "q", "echo 'no dump today' >&2; exit 1", when='*"-dump-vmstate"*')
    done = hints(tmp_path, "--machine", "pc-q35-7.2", source=installed(), destination=broken)
    assert done.returncode == 0
    assert "not compared:\n  dump of the destination: it ended with 1: no dump today\n" in done.stdout
    broken = faulty(tmp_path / "q", "exit 1", when='*"-S"*')
    done = hints(tmp_path, "--machine", "pc-q35-7.2", "--json", source=installed(), destination=broken)
    (missing,) = json.loads(done.stdout)["missing"]
    assert missing == {
        "machine": "pc-q35-7.2", "side": "destination", "what": "stream", "why": "it ended with 1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--machine", "pc-q35-99"], "has no such machine type"),
        (["--profile", "nosuch"], "nosuch"),
        (["--args", "'"], "--args"),
        (["--checker", "absent"], "--checker absent: No such file"),
        (["--checker", "notes"], "--checker notes: line 1: not written by"),
        (["--machine-types", "notes"], "--machine-types notes: no columns"),
    ],
)
def test_bad_input(tmp_path: Path, args: list[str], says: str) -> None:
    (tmp_path / "notes").write_text("dear diary\n")
    done = hints(tmp_path, *args, source=installed(), destination=installed())
    assert done.returncode == 129 and says in done.stderr and done.stdout == ""


def test_two_targets_or_no_qemu(tmp_path: Path) -> None:
    done = hints(tmp_path, source=installed(), destination=installed("ppc64"))
    assert done.returncode == 129 and "they cannot migrate" in done.stderr
    done = hints(tmp_path, source=installed(), destination=Binary(tmp_path / "none", ""))
    assert done.returncode == 129 and "no such file" in done.stderr
    done = hints(tmp_path, source=installed("ppc"), destination=installed("ppc"))  # all its types are unversioned
    assert done.returncode == 129 and "no versioned machine type in common; give --machine TYPE" in done.stderr
