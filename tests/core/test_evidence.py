"""Weights before the first probe: which evidence moves which commit, and what it can never do."""

from __future__ import annotations

import numpy as np
import pytest

from bot.core.evidence import FLOOR, UNREACHED, Failure, Prior, features, weigh
from bot.core.patch import Patch, Words, described, digest, words

DIFF = b"""diff --git a/hw/net/virtio-net.c b/hw/net/virtio-net.c
index 1..2 100644
--- a/hw/net/virtio-net.c
+++ b/hw/net/virtio-net.c
@@ -1,4 +1,4 @@ static int virtio_net_post_load_device(void *opaque)
 int untouched_name;
-    VMSTATE_OLD_FIELD
+    ppc_spapr.ram = "power9_v2.2";
 }
diff --git a/logo.png b/logo.png
Binary files a/logo.png and b/logo.png differ
"""


def has(array: Words, word: bytes) -> bool:
    return bool(np.isin(words(word), array).all())


def test_a_diff_is_digested_by_where_words_stand() -> None:
    patch = digest(b"virtio-net: Break a thing\n", DIFF)
    assert patch.paths == ("hw/net/virtio-net.c", "logo.png")
    assert (patch.added, patch.removed) == ((1, 0), (1, 0))
    assert has(patch.changed, b"ppc_spapr.ram")
    assert has(patch.changed, b"power9_v2.2")
    assert has(patch.changed, b"vmstate_old_field")
    assert not has(patch.changed, b"untouched_name")
    assert has(patch.around, b"untouched_name")
    assert has(patch.around, b"virtio_net_post_load_device")
    assert has(patch.said, b"Break")
    assert has(patch.said, b"VIRTIO_NET")


def test_a_merges_diff_has_two_columns() -> None:
    diff = b"diff --cc vl.c\n--- a/vl.c\n+++ b/vl.c\n@@@ -1,2 -1,2 +1,2 @@@ main\n  same_line\n- old_one\n++new_one\n"
    patch = digest(b"Merge", diff)
    assert (patch.paths, patch.added, patch.removed) == (("vl.c",), (1,), (1,))
    assert has(patch.changed, b"new_one")
    assert has(patch.changed, b"old_one")
    assert has(patch.around, b"same_line")


def history(n: int = 200) -> dict[str, Patch]:
    return {f"c{i}": described({f"hw/misc/thing{i}.c": (6, 4)}, f"thing{i}: change it") for i in range(n)}


def moved(prior: Prior, sha: str) -> dict[str, float]:
    """The evidence about a commit, as logs of factors."""
    scores = prior.scores[prior.commits.index(sha)].tolist()
    return {name: score for name, score in zip(prior.reasons, scores, strict=True) if score}


def test_words_of_the_failure_lift_the_commit_that_has_them() -> None:
    patches = history()
    patches["c50"] = digest(
        b"spapr: rename RAM", b"diff --git a/hw/ppc/spapr.c b/hw/ppc/spapr.c\n@@ -1 +1 @@\n+ppc_spapr_ram\n"
    )
    plain = weigh(patches, Failure())
    found = weigh(patches, Failure('qemu: Unknown ramblock "ppc_spapr_ram", cannot accept migration'))
    assert max(found.weights, key=lambda sha: found.weights[sha]) == "c50"
    assert found.weights["c50"] > 5 * plain.weights["c50"]
    reasons = moved(found, "c50")
    assert any(name.startswith("rarest ") and factor > 0 for name, factor in reasons.items())


@pytest.mark.parametrize(
    "manual", ["run qemu-system-x86_64 -hda x", "including any hotplugged devices; your current setup"]
)
def test_what_manuals_say_too_is_no_word_of_the_failure(manual: str) -> None:
    said = "Unknown savevm section or instance 'thing7' 1."
    advice = " Make sure that your current VM setup matches your saved VM setup, including any hotplugged devices"
    patches = history()
    patches["c50"] = digest(manual.encode(), b"diff --git a/vl.c b/vl.c\n@@ -1 +1 @@\n+" + manual.encode() + b"\n")
    printed = weigh(patches, Failure(f"qemu-system-x86_64: {said}{advice}"))
    assert printed.weights == weigh(patches, Failure(said)).weights


def test_paths_lower_a_weight_and_never_to_nothing() -> None:
    patches = history()
    patches["c50"] = described({"docs/a.rst": (6, 4)}, "docs: change it")
    patches["c51"] = described({"target/arm/helper.c": (6, 4)}, "arm: change it")
    found = weigh(patches, Failure(target="ppc64-softmmu"))
    assert 0 < found.weights["c50"] < found.weights["c49"] / 10
    assert UNREACHED in moved(found, "c51")
    assert UNREACHED not in moved(weigh(patches, Failure(target="arm-softmmu")), "c51")
    assert sum(found.weights.values()) == pytest.approx(1.0, abs=0.01)


def test_without_a_binary_no_path_speaks_against_a_commit() -> None:
    patches = history()
    patches["c50"] = described({"docs/a.rst": (6, 4)}, "docs: change it")
    found = weigh(patches, Failure())
    assert found.weights["c50"] > found.weights["c49"] / 2


def test_only_lines_of_the_binary_count_as_the_size_of_a_patch() -> None:
    sizes = {"hw/misc/thing.c": (6, 4)}
    patches = history()
    patches["c50"] = described(
        sizes | {"tests/x.c": (500, 300), "docs/a.rst": (90, 9), "target/arm/a.c": (8, 8)}, "x: y"
    )
    patches["c51"] = described(sizes, "x: y")
    patches["c52"] = described({"hw/misc/thing.c": (60, 4)}, "x: y")

    def size(target: str | None, sha: str) -> tuple[float, float]:
        names, values = features(tuple(patches.values()), Failure(target=target))
        row = values[list(patches).index(sha)]
        added, removed = (float(row[names.index(f"lines of C {what}")]) for what in ("added", "removed"))
        return round(np.expm1(added)), round(np.expm1(removed))

    assert size("ppc64-softmmu", "c50") == size("ppc64-softmmu", "c51") == (6, 4)
    assert size("arm-softmmu", "c50") == (14, 12)
    assert size(None, "c50") == (604, 321)  # what is tested may be a manual
    found = weigh(patches, Failure(target="ppc64-softmmu")).weights
    assert found["c51"] < found["c52"]


def test_a_misleading_word_leaves_the_others_their_part() -> None:
    patches = history()
    patches["c50"] = digest(b"x: y", b"diff --git a/hw/x.c b/hw/x.c\n@@ -1 +1 @@\n+misleading_name\n")
    plain = weigh(patches, Failure(target="ppc64-softmmu"))
    found = weigh(patches, Failure("misleading_name misleading_name", "ppc64-softmmu"))
    assert all(found.weights[sha] >= 0.99 * FLOOR * plain.weights[sha] for sha in patches)


def test_only_what_a_build_proves_weighs_nothing() -> None:
    patches = history()
    found = weigh(patches, Failure(), unread={"c7"})
    assert found.weights["c7"] == 0.0
    assert sum(found.weights.values()) == pytest.approx(1.0, abs=0.01)
    everything = weigh(patches, Failure(), unread=set(patches))
    assert min(everything.weights.values()) > 0


def test_patches_of_which_nothing_is_known_weigh_the_same_but_for_their_place() -> None:
    found = weigh({f"c{i}": Patch() for i in range(10)}, Failure("whatever"))
    values = list(found.weights.values())
    assert max(values) < 3 * min(values)
