"""What a commit's message says of a regression."""

from __future__ import annotations

import pytest

from bot.core.claims import alike, claim, offer, picked
from bot.core.tracker import addresses
from bot.model import Commit

CULPRIT, OTHER, FIX = "ab74e5431129" + "0" * 28, "1" * 40, "f" * 40
NAMES = ("migbot+r0017@example.org", "r0017.1.report.5f0c1e9a@migbot.example.org", "https://migbot.example.org/r0017",
         *addresses("opened #17 https://gitlab.com/qemu-project/qemu/-/issues/17"))  # fmt: skip


def commit(body: str, sha: str = FIX) -> Commit:
    return Commit(sha, "subject", "A", "a@example.org", "2020-01-01", "2020-01-01", f"subject\n\n{body}\n")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('Fixes: ab74e5431129 ("ppc/spapr: use memdev for RAM")', "Fixes: ab74e5431129"),
        ("Fixes: ab74e543", "Fixes: ab74e543"),
        ('Fixes: ba74e5431192 ("ppc/spapr: use memdev for RAM")', 'Fixes: ("ppc/spapr: use memdev for RAM")'),
        ('Fixes: 0123456789ab ("ppc/spapr: another thing")', None),
        (f"This reverts commit {CULPRIT}.", f"reverts {CULPRIT}"),
        (f"This reverts commit {OTHER}.", None),
        ("It came with commit ab74e5431129, see there.", None),
        ("Reported-by: Bot <migbot+r0017@example.org>", "Reported-by: Bot <migbot+r0017@example.org>"),
        ("Reported-by: Bot <migbot+r00171@example.org>", None),
        ("Link: https://lore.kernel.org/qemu-devel/r0017.1.report.5f0c1e9a@migbot.example.org/",
         "Link: https://lore.kernel.org/qemu-devel/r0017.1.report.5f0c1e9a@migbot.example.org/"),
        ("Resolves: https://migbot.example.org/r0017", "Resolves: https://migbot.example.org/r0017"),
        ("Resolves: https://migbot.example.org/r00171", None),
        ("Resolves: https://gitlab.com/qemu-project/qemu/-/issues/17",
         "Resolves: https://gitlab.com/qemu-project/qemu/-/issues/17"),
        ("Closes: https://gitlab.com/qemu-project/qemu/issues/17",
         "Closes: https://gitlab.com/qemu-project/qemu/issues/17"),
        ("Resolves: https://gitlab.com/qemu-project/qemu/-/issues/171", None),
        ("Resolves: https://gitlab.com/fork/qemu/-/issues/17", None),
        ("See https://gitlab.com/qemu-project/qemu/-/issues/17", None),
        ("Cc: Bot <migbot+r0017@example.org>", None),
        ("", None),
    ],
    ids=["fixes", "short", "wrong-id", "other-fix", "revert", "other-revert", "mention", "reporter", "other-reporter",
         "link", "resolves", "other-page", "issue", "old-issue", "other-issue", "other-project", "seen", "cc",
         "nothing"],
)  # fmt: skip
def test_what_is_said(body: str, said: str | None) -> None:
    assert claim(commit(body), {CULPRIT: "ppc/spapr: use memdev for RAM"}, NAMES) == said


def test_the_culprit_cures_nothing_itself() -> None:
    assert claim(commit(f"Fixes: {CULPRIT[:12]}", CULPRIT), {CULPRIT: "subject"}) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It broke.\n\nFixes: ab74e543\n---\n a.c | 1 +\n\ndiff --git a/a.c b/a.c\n+x\n", "Fixes: ab74e543"),
        ("Does this help?\n\nReported-by: Bot <migbot+r0017@example.org>\n\ndiff --git a/a.c b/a.c\n",
         "Reported-by: Bot <migbot+r0017@example.org>"),
        ("> Fixes: ab74e543\n> ---\n> diff --git a/a.c b/a.c\n> +x\nReviewed-by: A <a@example.org>\n", None),
        ("Please add Fixes: ab74e543\n", None),
        ("Mend it\n\ndiff --git a/a.c b/a.c\n+Fixes: ab74e543\n\nFixes: ab74e543\n", None),
    ],
    ids=["patch", "answer-with-a-patch", "review", "no-patch", "within-the-patch"],
)  # fmt: skip
def test_what_a_posted_patch_says(text: str, said: str | None) -> None:
    assert offer(text, {CULPRIT: "ppc/spapr: use memdev for RAM"}, NAMES) == said


def test_a_culprit_that_was_picked_goes_by_its_original_too() -> None:
    body = f"(cherry picked from commit {OTHER})\n(cherry picked from commit 01234567)"
    assert set(alike(commit(body, CULPRIT))) == {CULPRIT, OTHER}, "an id that is not whole may be another's"
    assert claim(commit(f"Fixes: {OTHER[:12]}", "a" * 40), alike(commit(body, CULPRIT))) == f"Fixes: {OTHER[:12]}"


def test_a_pick_names_its_original() -> None:
    assert picked(commit(f"(cherry picked from commit {CULPRIT})"), CULPRIT)
    assert not picked(commit(f"(cherry picked from commit {OTHER})"), CULPRIT)
