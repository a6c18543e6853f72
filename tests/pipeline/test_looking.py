"""Pages of a lab's store: histories with whose failure it is, logs of builds, and that only what changed is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import Config, load
from bot.host import kvm
from bot.model import Build, BuildKind, BuildStatus, Case, Direction, Observation, Outcome, Run, Signature
from bot.pipeline.histories import earlier
from bot.pipeline.publish import write_site
from bot.pipeline.unrun import unrun
from bot.store.blobs import Blobs
from bot.store.store import Store
from tests.core.test_lifecycle import CURE, RETRACT
from tests.report.test_site import Reader, words
from tests.testing import lab, reports

MASTER = "history/master"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("lab")
    lab.fill(Store(work))
    return work


@pytest.fixture(scope="module")
def config() -> Config:
    return load(None, lab.EXPECTED, {})


@pytest.fixture(scope="module")
def out(filled: Path, config: Config) -> Path:
    write_site(Store(filled), config, filled / "out", None)
    return filled / "out"


def stretches(out: Path, page: str, machine: str, way: str) -> list[tuple[str, bool, int, str | None, str | None]]:
    found = json.loads((out / MASTER / page).read_text())["histories"]
    (mine,) = (its for its in found if any(f"/{machine}/{way}" in case for case in its["cases"]))
    return [
        (its["outcome"], its["flaky"], its["commits"], its["regression"], its["expected"]) for its in mine["stretches"]
    ]


def test_each_case_has_its_history_with_whose_failure_it_is(out: Path) -> None:
    q35, pseries = "x86_64-pc-q35.json", "ppc64-pseries.json"
    assert stretches(out, q35, "pc-q35-9.0", "bare/same/-") == [("PASS", False, 8, None, None)]
    assert stretches(out, q35, "pc-q35-9.0", "virtio/backward") == [("FAIL_DST", False, 8, None, "cpu-backward")]
    assert [its[:3] for its in stretches(out, q35, "pc-q35-9.1", "bare/same/-/postcopy")] == [
        ("PASS", False, 1), ("HANG", True, 1), ("PASS", False, 1), ("HANG", True, 2), ("PASS", False, 3),
    ]  # fmt: skip
    assert stretches(out, pseries, "pseries-2.7", "mem-path/forward/2.12") == [
        ("PASS", False, 1, None, None), ("FAIL_DST", False, 1, "r0002", None),
    ]  # fmt: skip
    page = words((out / MASTER / "x86_64-pc-q35.html").read_text())
    assert "expected, cpu-backward: the old side has no such CPU" in page


def test_every_link_leads_to_a_place_that_is_there(out: Path) -> None:
    seen = 0
    for path in out.rglob("*.html"):
        for link in Reader(path.read_text()).links:
            name, _, anchor = link.partition("#")
            target = path.parent / name if name else path
            assert link == "data:," or target.is_file(), (path, link)
            assert not anchor or f'id="{anchor}"' in target.read_text(), (path, link)
            seen += "history/" in link
    assert seen > 60  # a cell of the heat map each


def test_a_regression_leads_to_its_past_and_to_logs_of_builds(out: Path) -> None:
    links = Reader((out / "r0001" / "index.html").read_text()).links
    assert "../history/master/ppc64-pseries.html#pseries-2.1.forward.2.12" in links
    assert f"../builds/{lab.NEWEST.short}-ppc64.html" in links
    built = words((out / "builds" / f"{lab.NEWEST.short}-ppc64.html").read_text())
    assert "Linking target qemu" in built and "First error" not in built
    work = Reader((out / "health.html").read_text()).links
    (failed,) = (link for link in work if link.startswith("builds/"))
    assert failed == f"builds/{lab.TIPS[-1].short}-aarch64.html"
    assert '<mark id="error">' in (out / failed).read_text()


def test_what_was_not_run_stands_on_every_page_with_the_reason(out: Path) -> None:
    for path in out.rglob("*.html"):
        assert "Not run: " in words(path.read_text()) or path.parent.name == "builds", path
    said = words((out / "matrix-master.html").read_text())
    said = said[said.index("Not run: ") :]
    for text in ("KVM", "aarch64-softmmu", "methods", "savevm", "baselines v11.1", "xenpv* (they need Xen)"):
        assert text in said, text


def test_of_the_same_nothing_is_read_or_written_again(
    filled: Path, out: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    whole = Blobs.get

    def get(blobs: Blobs, name: str) -> str | None:
        read.append(name)
        return whole(blobs, name)

    monkeypatch.setattr(Blobs, "get", get)
    store = Store(filled, clock=lambda: 2e9)
    before = {path: path.stat() for path in out.rglob("*") if path.is_file()}
    for path in write_site(store, config, out, None):
        if path.parent != out:
            assert path.stat().st_ino == before[path].st_ino, path
    reports_ = {entry.blobs[0] for entry in store.regressions()}
    assert not reports_ & set(read)
    assert {path for path in out.rglob("*") if path.is_file()} == set(before)


def test_what_changed_is_made_again_and_what_is_over_goes(tmp_path: Path, config: Config) -> None:
    store = Store(tmp_path)
    store.see("master", lab.NEWEST)
    for report in (reports.first_bad(), reports.merge_conflict()):
        lab.conclude(store, report)
    for build in lab.builds_of(lab.NEWEST, 0):
        store.record(build)
    out, log = tmp_path / "out", f"builds/{lab.NEWEST.short}-ppc64.html"
    first = write_site(store, config, out, None)
    assert out / log in first
    kept = (out / "r0002" / "index.html").stat()
    (entry,) = store.regressions("r0001")
    store.happened("r0001", CURE, entry.record)
    write_site(store, config, out, None)
    assert "fixed by" in (out / "r0001" / "index.html").read_text()
    assert (out / "r0001" / "timeline.svg").is_file() and (out / log).is_file()
    assert (out / "r0002" / "index.html").stat().st_ino == kept.st_ino
    (entry,) = store.regressions("r0002")
    store.happened("r0002", RETRACT, entry.record)
    assert out / log not in write_site(store, config, out, None)
    assert not (out / log).exists() and not (out / "builds").exists()  # nothing that is open leads there
    assert (out / "r0002" / "index.html").is_file()


def test_other_settings_make_the_pages_of_regressions_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lab.conclude(store, reports.first_bad())
    for sender in ("One <one@example.org>", "Two <two@example.org>"):
        write_site(store, load(None, (f"report.sender={sender}",), {}), tmp_path / "out", None)
        user = sender[:3].lower()
        assert f"{user}+r0001@example.org" in (tmp_path / "out" / "r0001" / "index.html").read_text()


def test_a_log_that_was_evicted_leaves_a_page_that_says_so(tmp_path: Path, config: Config) -> None:
    store = Store(tmp_path)
    store.see("master", lab.NEWEST)
    failed = Build(
        lab.NEWEST.sha, "x86_64-softmmu", "v4.2", BuildStatus.FAILED, BuildKind.FULL, 1.0, error=lab.ERROR, log="a log"
    )  # fmt: skip
    store.record(failed)
    for path in store.blobs.all():
        path.unlink()
    write_site(store, config, tmp_path / "out", None)
    said = words((tmp_path / "out" / "builds" / f"{lab.NEWEST.short}-x86_64.html").read_text())
    assert lab.ERROR in said and "its log is not kept any more" in said and "evicted" not in said


def test_the_last_answer_on_another_tip_is_what_it_was(filled: Path) -> None:
    store, shas = Store(filled), [commit.sha for commit in (*lab.TIPS, lab.NEWEST)]
    before = earlier(store, "master", shas, lab.NEWEST.sha)
    case = reports.CASE
    assert before[case].outcome is Outcome.PASS
    hung = lab.x86("pc-q35-9.1", Direction.SAME, "bare", "postcopy")
    assert (before[hung].outcome, before[hung].flaky) == (Outcome.PASS, False)
    assert not earlier(store, "master", shas[:1], shas[0]).get(Case("t", "m", "p"))


def test_methods_that_this_host_cannot_are_told_with_qemus_words(tmp_path: Path, config: Config) -> None:
    store = Store(tmp_path)
    case = lab.x86("pc-q35-9.2", Direction.SAME, "bare")
    store.record(Run(lab.NEWEST.sha, case, Observation(Outcome.PASS)))
    cannot = Observation(Outcome.UNTESTABLE, message="Postcopy is not supported: userfaultfd not available")
    store.record(Run(lab.NEWEST.sha, replace(case, method="postcopy"), cannot))
    broken = Observation(Outcome.FAIL_DST, Signature("text"), "no")
    store.record(Run(lab.NEWEST.sha, replace(case, method="savevm"), broken))
    store.see("master", lab.NEWEST)
    write_site(store, config, tmp_path / "out", None)
    said = words((tmp_path / "out" / "matrix-master.html").read_text()).partition("Not run: ")[2]
    assert "method postcopy: cannot be tested (Postcopy is not supported: userfaultfd not available)" in said
    assert "savevm" not in said


def test_why_there_is_no_kvm_is_told(filled: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Store(filled).runs(commit=lab.NEWEST.sha, logs=False)
    monkeypatch.setattr(kvm, "guests", lambda: ("x86_64",))
    monkeypatch.setattr(kvm, "why_not", lambda arch: "/dev/kvm: No such file or directory")
    assert unrun(config, runs, ())[0] == "KVM (/dev/kvm: No such file or directory)"
    monkeypatch.setattr(kvm, "why_not", lambda arch: None)
    assert unrun(config, runs, ())[0] == "KVM"


def test_a_tip_on_which_nothing_could_be_built_says_that_nothing_was_run(tmp_path: Path, config: Config) -> None:
    store = Store(tmp_path)
    store.see("master", lab.NEWEST)
    write_site(store, config, tmp_path / "out", None)
    assert "Not run: any case" in words((tmp_path / "out" / "matrix-master.html").read_text())
