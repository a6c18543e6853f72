"""What config.yaml means, and what wins over what."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import Config, find, load
from bot.config.document import read_file
from bot.data import data_dir
from bot.errors import UserError
from bot.model import (
    METHODS,
    Baseline,
    BuildSettings,
    Device,
    Direction,
    Exclusion,
    Expected,
    MachineOptions,
    Profile,
    ReportSettings,
    SmokeSettings,
    Submodule,
    Sweep,
)
from tests.config.schema import keys

SHIPPED = data_dir() / "config.yaml"


def test_the_shipped_file_is_the_default_and_valid(here: Path) -> None:
    shipped = load(environ={})
    assert load(SHIPPED, environ={}) == shipped
    assert shipped.upstream.url == "https://gitlab.com/qemu-project/qemu.git"
    assert [b.name for b in shipped.watch.branches] == ["master", "staging-*"]
    assert (shipped.watch.every, shipped.watch.stable) == (1800.0, 2)
    assert set(shipped.targets) == {"x86_64-softmmu", "ppc64-softmmu", "aarch64-softmmu", "s390x-softmmu"}
    assert shipped.sweep("each_tip").directions == (Direction.SAME, Direction.FORWARD)
    assert shipped.sweep("nightly").directions == tuple(Direction)
    assert shipped.profile("bare") == Profile("bare", args=("-nodefaults",))
    assert shipped.profile("mem-path").args == ("-nodefaults", "-mem-path", "{dir}")
    assert shipped.profiles["default"] == Profile("default", ("-net", "nic"))
    assert replace(shipped.smoke_settings, machines=()) == SmokeSettings()
    assert (shipped.bisect.min_runs, shipped.bisect.max_runs) == (10, 200)
    assert shipped.report.approval == "required"
    assert shipped.report_settings == ReportSettings()
    build = shipped.build_settings
    assert isinstance(build, BuildSettings)
    assert (build.timeout, build.cache_size, build.free_space) == (3600.0, 10 * 2**30, 5 * 2**30)
    assert len({recipe.name for recipe in build.recipes}) == len(build.recipes) > 0


def test_the_shipped_file_says_every_key_itself() -> None:
    """The reference and newcomers look there: an optional section or value is there too."""
    tree, problems = read_file(data_dir() / "config.yaml")
    assert tree is not None
    assert not problems
    for path in keys():
        if "NAME" not in path and 0 not in path:
            assert tree.find(path)[1] == len(path), f"{path} is not in config.yaml"


def test_a_config_travels_to_other_processes_as_plain_values(here: Path) -> None:
    config = load(overrides=["upstream.url=./q", "report.out=o", "profiles.a.args=-x 'y'"], environ={})
    packed = pickle.dumps((config, config.build_settings, config.smoke_settings, config.profiles))
    assert b"bot.config.document" not in packed
    assert pickle.loads(packed)[0] == config  # noqa: S301 - made two lines above


def test_a_config_cannot_be_changed(here: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(environ={}).bisect.min_runs = 1


# -- what is meant --------------------------------------------------------------------------------------------------


def mine(text: str, *overrides: str, **environ: str) -> Config:
    Path("config.yaml").write_text(text, encoding="utf-8")
    return load(overrides=overrides, environ=environ)


def test_only_what_differs_has_to_be_written(here: Path) -> None:
    shipped = load(environ={})
    config = mine("watch:\n  every: 1h30m\nprofiles:\n  smp: {args: -nodefaults -smp 2}\nbuild:\n")
    assert config.watch == shipped.watch.model_copy(update={"every": 5400.0})
    assert set(config.profiles) == {"smp", *shipped.profiles}
    assert config.profile("smp").args == ("-nodefaults", "-smp", "2")
    assert (config.build, config.smoke, config.report) == (shipped.build, shipped.smoke, shipped.report)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\ufeffwatch:\n", "{}\n"])
def test_a_file_may_say_nothing(here: Path, text: str) -> None:
    assert mine(text) == load(SHIPPED, environ={})


def test_lists_replace_and_new_patterns_come_first(here: Path) -> None:
    config = mine("baselines: []\nsmoke:\n  memory: {virt*: 1G, '*': 64M}\n  exclude: []\n")
    assert config.baselines == ()
    assert config.exclusions == ()
    assert list(config.smoke_settings.memory.items()) == [("virt*", "1G"), ("pseries*", "256M"), ("*", "64M")]


def test_text_stays_what_was_typed(here: Path) -> None:
    """YAML alone would make a float, an octal number, a boolean, a time of day and a date of these."""
    config = mine(
        "watch: {branches: [{name: no, since: 0123456}, {name: on, since: 2026-11-23}, {name: 12:30, since: 1e10}]}\n"
        "baselines: [{name: 10.0, ref: 7.20}]\nprofiles: {on: {args: [-smp, 2, -name, 'null', 010]}}\n"
    )
    assert [(b.name, b.since) for b in config.watch.branches] == [
        ("no", "0123456"),
        ("on", "2026-11-23"),
        ("12:30", "1e10"),
    ]
    assert config.baselines == (Baseline("10.0", ref="7.20"),)
    assert config.profile("on").args == ("-smp", "2", "-name", "null", "010")


def test_anchors_and_merge_keys_work(here: Path) -> None:
    config = mine(
        "profiles:\n  one: &one {args: &a [-nodefaults], run: 1s}\n  two: {<<: *one, run: 2s}\n"
        "  three: {<<: [*one, {run: 9s, source_args: *a}], args: -smp 2}\n"
    )
    assert config.profile("two") == Profile("two", args=("-nodefaults",), run=2.0)
    assert config.profile("three") == Profile("three", args=("-smp", "2"), source_args=("-nodefaults",), run=1.0)


def test_devices_by_machine_type(here: Path) -> None:
    config = mine(
        "profiles:\n  mine:\n    args: -nodefaults\n    machines: pc-* virt-*\n    guest: yes\n    devices:\n"
        "      pc-* virt-*: [-device virtio-rng-pci, [-netdev, 'hubport,id=n,hubid=0', -device, 'e1000,netdev=n']]\n"
        "      virt-*:\n        - -drive if=none,id=d\n          -device virtio-blk-device,drive=d\n"
    )
    assert config.profile("mine") == Profile(
        "mine",
        args=("-nodefaults",),
        devices=(
            Device("virtio-rng-pci", (), ("pc-*", "virt-*")),
            Device("e1000,netdev=n", ("-netdev", "hubport,id=n,hubid=0"), ("pc-*", "virt-*")),
            Device("virtio-blk-device,drive=d", ("-drive", "if=none,id=d"), ("virt-*",)),
        ),
        guest=True,
        machines=("pc-*", "virt-*"),
    )


def test_sweeps(here: Path) -> None:
    config = mine(
        "each_tip:\n  profiles: all\n  methods: {ping-pong: [], exec: ['b*']}\n"
        "  accels: [kvm-if-usable, 'kvm,dirty-ring-size=4096']\n"
        "nightly: {profiles: [bare], directions: [backward]}\nprofiles: {mine: {}}\n"
    )
    assert config.sweep("each_tip") == Sweep(
        profiles=tuple(config.profiles),
        directions=(Direction.SAME, Direction.FORWARD),
        methods={"precopy": ("*",), "exec": ("b*",)},
        accels=("kvm-if-usable", "kvm,dirty-ring-size=4096"),
    )
    assert "mine" in config.sweep("each_tip").profiles
    nightly = config.sweep("nightly")
    assert (nightly.profiles, nightly.directions) == (("bare",), (Direction.BACKWARD,))
    assert set(nightly.methods) == set(METHODS)
    with pytest.raises(UserError, match='no sweep "hourly": there are each_tip, nightly'):
        config.sweep("hourly")


def test_machine_options_and_exclusions(here: Path) -> None:
    config = mine(
        "smoke:\n  machines:\n    mine: {machines: [virt-*], targets: aarch64, cpu: neoverse-n1, why: we have them}\n"
        "  exclude: [none, {machines: [a, b], why: broken, owner: me, expires: 2027, until: 0123456789}]\n"
    )
    first = config.smoke_settings.machines[0]
    assert first == MachineOptions("we have them", ("virt-*",), ("aarch64",), cpu="neoverse-n1")
    assert len(config.smoke_settings.machines) == 1 + len(load(SHIPPED, environ={}).smoke_settings.machines)
    assert config.exclusions == (
        Exclusion(("none",), "not said"),
        Exclusion(("a", "b"), "broken", "me", "2027", "0123456789"),
    )


def test_expected_failures_are_added_to_the_shipped(here: Path) -> None:
    config = mine(
        "expected:\n  mine:\n    {machines: 'pc-*', directions: [forward], source: '>=9.2, < 10', why: x, owner: me,"
        " until: 0123456789}\n  isapc-vga: {expires: 2026-01}\n"
    )
    assert config.expected[0] == Expected(
        "mine", "x", "me", until="0123456789", machines=("pc-*",), directions=(Direction.FORWARD,), source=">=9.2, < 10"
    )
    shipped = {entry.id: entry for entry in load(SHIPPED, environ={}).expected}
    assert {entry.id: entry for entry in config.expected[1:]} == shipped | {
        "isapc-vga": replace(shipped["isapc-vga"], expires="2026-01")
    }


def test_units(here: Path) -> None:
    times = {"90": 90.0, "90s": 90.0, "1.5m": 90.0, "1h30m": 5400.0, "2d": 172800.0, "0.5": 0.5}
    for text, seconds in times.items():
        assert mine(f"smoke: {{deadline: {text}}}").smoke_settings.deadline == seconds
    sizes = {"0": 0, "4096": 4096, "500M": 500 * 2**20, "1.5G": 3 * 2**29, "1T": 2**40, "10GiB": 10 * 2**30}
    for text, size in sizes.items():
        assert mine(f"build: {{free_space: {text}}}").build_settings.free_space == size


def test_paths_are_taken_from_where_they_are_written(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/lab")
    (here / "etc").mkdir()
    Path("etc/my.yaml").write_text(
        "upstream: {url: ../qemu.git}\nbaselines: [{name: old, path: '~/old/qemu-system-{arch}'}]\n"
        "smoke: {script: ./smoke.sh}\nbuild: {submodules: {ui/keycodemapdb: {trees: {6b3d716: deps/k}}}}\n"
    )
    config = load(Path("etc/my.yaml"), ["report.out=out"], {})
    assert config.upstream.url == f"{here}/qemu.git"
    assert config.baselines[0].path == "/home/lab/old/qemu-system-{arch}"
    assert config.smoke.script == f"{here}/etc/smoke.sh"
    assert config.build_settings.submodules["ui/keycodemapdb"] == Submodule(trees={"6b3d716": f"{here}/etc/deps/k"})
    assert config.report.out == f"{here}/out"


@pytest.mark.parametrize(
    "url", ["https://example.org/q.git", "ssh://git@example.org/q.git", "git@example.org:q.git", "file:///srv/q.git"]
)
def test_urls_are_left_alone(here: Path, url: str) -> None:
    assert load(overrides=[f"upstream.url={url}"], environ={}).upstream.url == url


def test_unknown_names_are_answered_with_the_known(here: Path) -> None:
    config = load(environ={})
    assert config.baseline(config.baselines[0].name) is config.baselines[0]
    with pytest.raises(UserError, match='no profile "x": there are bare, bare-running, default'):
        config.profile("x")
    with pytest.raises(UserError, match='no baseline "x": there are v'):
        config.baseline("x")


# -- what wins ------------------------------------------------------------------------------------------------------


def test_command_line_over_environment_over_file_over_shipped(here: Path) -> None:
    text = "bisect: {min_runs: 4, max_runs: 4}\nexecutor: {smokes: 4}\nsmoke: {deadline: 4}\n"
    environ = {f"BOT__BISECT__{name}_RUNS": "5" for name in ("MIN", "MAX")} | {"BOT__EXECUTOR__SMOKES": "5"}
    config = mine(text, "bisect.max_runs=6", **environ)
    assert (config.bisect.max_runs, config.bisect.min_runs, config.executor.smokes) == (6, 5, 5)
    assert (config.smoke.deadline, config.smoke.accel) == (4.0, "tcg")


def test_which_file(here: Path) -> None:
    assert find() is None
    Path("config.yaml").write_text("executor: {smokes: 7}\n")
    assert find() == Path("config.yaml")
    assert load(environ={}).executor.smokes == 7
    Path("other.yaml").write_text("executor: {smokes: 8}\n")
    assert load(Path("other.yaml"), environ={}).executor.smokes == 8


def test_overrides_reach_everything(here: Path) -> None:
    config = load(
        overrides=[
            "watch.branches.0.since=v10.0.0",
            "watch.branches.2={name: staging}",
            "each_tip.profiles=[bare, mem-path]",
            'smoke.memory."pc-q35-9.2"=1G',
            "profiles.smp.args=-nodefaults -smp 2,maxcpus=8",
            "smoke.script=",
            "report.sender='Bot: one <bot@example.org>'",
            "baselines.0.ref=v7.2.0",
        ],
        environ={"BOT__PROFILES__MEM_PATH__RUN": "2s", "BOT__REPORT__LISTS__1": "lab@example.org", "BOT_WORK": "/w"},
    )
    assert [(b.name, b.since) for b in config.watch.branches] == [
        ("master", "v10.0.0"),
        ("staging-*", None),
        ("staging", None),
    ]
    assert config.each_tip.profiles == ("bare", "mem-path")
    assert next(iter(config.smoke.memory.items())) == ("pc-q35-9.2", "1G")
    assert config.profile("smp").args == ("-nodefaults", "-smp", "2,maxcpus=8")
    assert config.profile("mem-path").run == 2.0
    assert config.smoke.script is None
    assert config.report.sender == "Bot: one <bot@example.org>"
    assert config.report.lists == ("qemu-devel@nongnu.org", "lab@example.org")
    assert config.baselines[0].ref == "v7.2.0"
