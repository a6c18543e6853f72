"""Why a commit weighs what it weighs: the reasons make up the weight, and are words and not names of features."""

from __future__ import annotations

import math
import re

import pytest

from bot.core.ends import Nearness, Sharpened, sharpen
from bot.core.evidence import FLOOR, SIZES, Failure, features, of_words, weigh
from bot.core.learnt import FACTORS
from bot.core.patch import Patch, digest, words
from bot.core.reasons import LEADING, explain, leading
from bot.model import Weight

FAILURE = Failure('qemu-system-ppc64: Unknown ramblock "ppc_spapr.ram", cannot accept migration', "ppc64-softmmu")


def diff(path: str, *lines: str) -> bytes:
    body = "".join(f"+{line}\n" for line in lines)
    return f"diff --git a/{path} b/{path}\n@@ -1 +1 @@ ram_load\n{body}".encode()


def history() -> dict[str, Patch]:
    """100 dull commits; of three of them more is to be said."""
    found = {f"c{i}": digest(b"misc: move it", diff(f"hw/misc/thing{i}.c", f"int thing{i};")) for i in range(100)}
    found["c50"] = digest(
        b"spapr: rename the ram block", diff("hw/ppc/spapr.c", 'ram_init("ppc_spapr.ram");', "a = 1;")
    )
    found["c60"] = digest(b"migration: check it", diff("migration/ram.c", *["unknown_ramblock();"] * 150))
    found["c70"] = digest(b"docs: describe ppc_spapr.ram", diff("docs/a.rst", "text"))
    return found


def told(failure: Failure = FAILURE, sharp: Sharpened | None = None) -> dict[str, Weight]:
    patches = history()
    sharp = sharp or Sharpened(weigh(patches, failure).weights, {})
    return {weight.commit: weight for weight in explain(patches, failure, sharp, patches)}


def product(weight: Weight) -> float:
    return math.prod(reason.factor for reason in weight.reasons)


def test_the_factors_make_up_the_weights() -> None:
    found = told()
    plain = weigh(history(), Failure(target=FAILURE.target)).weights  # a part of it stays, whatever words say
    one = found["c50"]
    for other in found.values():
        ratio = (other.share - FLOOR * plain[other.commit]) / (one.share - FLOOR * plain[one.commit])
        assert product(other) / product(one) == pytest.approx(ratio, rel=0.05, abs=1e-4)


def test_words_are_told_with_what_they_are_in_and_how_rare_they_are() -> None:
    found = told()["c50"]
    assert found.rank == 1
    texts = {reason.text: reason.factor for reason in found.reasons}
    first = next(iter(texts))
    assert first == "the failure's `ppc_spapr.ram` is in its changed lines (in 2 of 100 commits)"
    assert texts[first] > 5
    assert any("`spapr` is in its paths, changed lines and message" in text for text in texts)
    assert sum("`ppc_spapr.ram`" in text for text in texts) == 1


def test_the_names_of_evidence_are_not_shown_to_people() -> None:
    everything = [reason.text for weight in told().values() for reason in weight.reasons]
    assert not [text for text in everything if of_words(text) or text in FACTORS]
    for text in everything:
        assert re.match(r"it |its |the failure's |\d+ smaller things together", text), text
    assert "it has no part of the binary, by its paths" in everything
    assert "it is a large patch" in everything
    assert "its message says `check`" in everything


def test_every_learnt_factor_has_a_phrase() -> None:
    from bot.core.reasons import _phrase

    plain = [name for name in FACTORS if not of_words(name) and name not in SIZES]
    assert len(plain) > 90
    for name in plain:
        assert re.match(r"it (touches|has|is) |its message says `", _phrase(name)), name
    assert _phrase("in hw/ppc") == "it touches hw/ppc/"


def test_what_the_ends_differ_in_is_told_and_what_it_does_to_the_others() -> None:
    patches, before = history(), weigh(history(), Failure()).weights
    sharp = sharpen(before, patches, {"ppc_spapr.ram": Nearness.SAME})
    found = told(Failure(), sharp)
    reason = found["c50"].reasons[0]
    assert reason.text == (
        "its changed lines have `ppc_spapr.ram` (in 1 of 100 commits), in which the two end binaries differ"
    )
    assert reason.factor == pytest.approx(sharp.weights["c50"] / before["c50"], rel=0.01)
    none = "none of the names in which the two end binaries differ is in its changed lines"
    assert next(reason.factor for reason in found["c3"].reasons if reason.text == none) == pytest.approx(0.2)
    many = {f"name-{i}00": Nearness.SENT for i in range(5)}
    patches["c9"] = Patch(("hw/x.c",), (1,), (0,), changed=words(" ".join(many).encode()))
    (weight,) = explain(patches, Failure(), sharpen(before, patches, many), ["c9"])
    assert "and 2 more names, in which" in weight.reasons[0].text


def test_small_things_are_one_reason() -> None:
    for weight in told().values():
        assert len(weight.reasons) <= 9
        assert all(abs(math.log(reason.factor)) >= 0.09 for reason in weight.reasons[:-1])


def test_the_heaviest_are_explained_and_what_was_found() -> None:
    weights = {f"c{i}": float(i) for i in range(100)}
    assert leading(weights, ["c3"]) == (*(f"c{i}" for i in range(99, 89, -1)), "c3")
    assert leading(weights, []) == leading(weights, ["c95", "unknown"])
    assert len(leading(weights, weights)) == LEADING
    assert len(leading(weights, [f"c{i}" for i in range(40)])) == 2 * LEADING


def test_a_range_of_one_commit_and_a_failure_without_words() -> None:
    patches = {"c0": Patch()}
    (weight,) = explain(patches, Failure(), Sharpened(weigh(patches, Failure()).weights, {}), ["c0"])
    assert (weight.rank, weight.share) == (1, 1.0)
    assert features(tuple(patches.values()), Failure())[1].shape[0] == 1
