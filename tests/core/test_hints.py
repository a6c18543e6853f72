"""Hints, and how those of several machine types become one."""

from __future__ import annotations

from bot.core.hints import Effect, Hint, fold


def test_a_hint_says_where_what_and_what_may_come_of_it() -> None:
    hint = Hint("section", "pseries-7.2", "icp/server", "section is gone", Effect.FORWARD)
    assert str(hint) == "pseries-7.2: icp/server: section is gone (may break forward)"
    assert str(Hint("field-name", "", "", "a -> b")) == "a -> b"


def test_equal_hints_are_folded_and_what_may_do_harm_comes_first() -> None:
    def hint(machine: str, section: str, effect: Effect | None) -> Hint:
        return Hint("section", machine, section, "is gone", effect)

    folded = fold(
        [
            hint("pc-q35-2.12", "b", None), hint("pc-q35-2.9", "b", None), hint("pc-q35-2.9", "b", None),
            hint("", "z", Effect.BACKWARD), hint("pc-q35-2.9", "a", Effect.FORWARD), hint("virt-5.2", "c", Effect.BOTH),
        ]
    )  # fmt: skip
    assert [(h.section, h.machine, types) for h, types in folded] == [
        ("c", "", ("virt-5.2",)),
        ("a", "", ("pc-q35-2.9",)),
        ("z", "", ()),
        ("b", "", ("pc-q35-2.9", "pc-q35-2.12")),
    ]
