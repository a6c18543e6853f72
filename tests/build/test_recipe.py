"""Recipes: which one fits, and what configure is asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.build import recipe as recipes
from bot.errors import UserError
from bot.model import Recipe

MESON = Recipe("meson", has=("meson.build",), lacks=("Makefile.target",))
MAKE = Recipe("make", has=("Makefile:TARGET_DIRS_RULES",))
OLD = Recipe("old", has=("Makefile",))


@pytest.mark.parametrize(
    ("tree", "name"),
    [
        ({"meson.build", "Makefile"}, "meson"),
        ({"meson.build", "Makefile.target", "Makefile", "Makefile:TARGET_DIRS_RULES"}, "make"),
        ({"Makefile", "Makefile:TARGET_DIRS_RULES"}, "make"),
        ({"Makefile"}, "old"),
    ],
)
def test_the_first_that_fits(tree: set[str], name: str) -> None:
    assert recipes.select((MESON, MAKE, OLD), tree.__contains__).name == name


def test_none_fits() -> None:
    with pytest.raises(UserError, match=r"build\.recipes: no recipe fits this commit \(there are: meson, make\)"):
        recipes.select((MESON, MAKE), set().__contains__)


def test_a_refused_option_loses_its_value_then_itself() -> None:
    options: tuple[str, ...] | None = ("--python=/usr/bin/python3", "--enable-fdt=system", "--disable-bluez")
    assert options is not None
    options = recipes.without(options, "--enable-fdt=system")
    assert options == ("--python=/usr/bin/python3", "--enable-fdt", "--disable-bluez")
    options = recipes.without(options, "--enable-fdt")
    assert options == ("--python=/usr/bin/python3", "--disable-bluez")
    assert recipes.without(options, "--python=/usr/bin/python3") == ("--disable-bluez",)  # a value is all it has
    assert recipes.without(options, "--not-ours") is None


@given(
    st.lists(st.sampled_from(["--enable-a=1", "--enable-a", "--enable-b=", "--disable-c", "--python=x"]), unique=True)
)
def test_dropping_always_ends(options: list[str]) -> None:
    left: tuple[str, ...] | None = tuple(options)
    for _ in range(2 * len(options) + 1):
        assert left is not None
        if not left:
            return
        left = recipes.without(left, left[0])
    raise AssertionError(left)


def test_commands_are_filled_in() -> None:
    place = recipes.Place("ppc64-softmmu", Path("/s"), Path("/b"), 3)
    recipe = Recipe("r", build=("make", "{target}/all", "V={jobs}", "{arch}", "${HOME}"))
    assert recipes.build_argv(recipe, place) == ["make", "-j3", "ppc64-softmmu/all", "V=3", "ppc64", "${HOME}"]
    assert recipes.configure_argv(place, [place.fill("--x={source}")]) == ["/s/configure", "--x=/s"]


def test_the_environment_is_the_recipes_and_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-Dours")
    place = recipes.Place("ppc64-softmmu", Path("/s"), Path("/b"), 3)
    recipe = Recipe("r", env={"CFLAGS": "-ffile-prefix-map={source}=."})
    env = recipes.environment(recipe, place, [Path("/meson")], Path("/home"))
    assert env["CFLAGS"] == "-ffile-prefix-map=/s=."
    assert env["PATH"].startswith("/meson:/usr/bin:") and env["HOME"] == "/home"


def test_refusal_is_read_from_real_words() -> None:
    said = "ERROR: unknown option --disable-bluez\nTry '../src/configure --help' for more information\n"
    assert recipes.refused(said) == "--disable-bluez"
    assert recipes.refused("checking for --disable-bluez... unknown option\n") is None


def test_a_group_has_another_name_for_all_that_matters_and_nothing_else() -> None:
    tools = {"cc": "gcc 12", "glib": "2.74"}
    name = recipes.group("x86_64-softmmu", OLD, tools)
    assert name == recipes.group("x86_64-softmmu", dataclasses.replace(OLD, has=("x",)), tools)
    others = {
        recipes.group("ppc64-softmmu", OLD, tools),
        recipes.group("x86_64-softmmu", OLD, {**tools, "glib": "2.76"}),
        *(
            recipes.group("x86_64-softmmu", dataclasses.replace(OLD, **change), tools)
            for change in ({"configure": ("--x",)}, {"build": ("make",)}, {"env": {"A": "b"}}, {"meson": "1"})
        ),
    }
    assert name not in others and len(others) == 6


def test_what_was_dropped_stands_in_the_log() -> None:
    note = recipes.drop_note
    log = f"{note('--enable-fdt=system')}{note('--disable-bluez')}$ /w/src/configure --target-list=x\nok\n$ make\n"
    assert recipes.dropped(log) == ("--enable-fdt=system", "--disable-bluez")
    assert recipes.dropped("$ /w/src/configure --target-list=x\nok\n") == ()
    assert recipes.dropped("$ ninja -j2 qemu-system-x86_64\n[1/1] cc\n") is None
