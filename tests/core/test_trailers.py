"""Trailers as QEMU's history has them: forms are real, ids are shortened or made up where nothing depends on them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.trailers import Fixes, fixes, fixes_tag, message_ids, names, people, picked_from, reverts

SHA = "900c0ba373aada4791d34a8aa5a1f9b3bc1a1a1a"
SUBJECT = "machine: alias -mem-path and -mem-prealloc into memory-backend"

FIXES = {
    "twelve digits": (f'Fixes: {SHA[:12]} ("{SUBJECT}")', [Fixes(SHA[:12], SUBJECT)]),
    "ten digits": (f'Fixes: {SHA[:10]} ("{SUBJECT}")', [Fixes(SHA[:10], SUBJECT)]),
    "whole id": (f'Fixes: {SHA} ("{SUBJECT}")', [Fixes(SHA, SUBJECT)]),
    "no subject": (f"Fixes: {SHA[:8]}", [Fixes(SHA[:8])]),
    "id with a dot": (f"Fixes: {SHA[:12]}.", [Fixes(SHA[:12])]),
    "word commit": (f"Fixes: commit {SHA[:12]}", [Fixes(SHA[:12])]),
    "single quotes": (f"Fixes: {SHA[:12]} ('{SUBJECT}')", [Fixes(SHA[:12], SUBJECT)]),
    "no brackets": (f'Fixes: {SHA[:12]} "{SUBJECT}"', [Fixes(SHA[:12], SUBJECT)]),
    "lower case": (f"fixes: {SHA[:12]}", [Fixes(SHA[:12])]),
    "upper case id": (f"Fixes: {SHA[:12].upper()}", [Fixes(SHA[:12])]),
    "quotes within": ('Fixes: 12345678ab ("qom: "x" is a "y"")', [Fixes("12345678ab", 'qom: "x" is a "y"')]),
    "id within the subject": (f'Fixes: {SHA[:12]} ("Revert deadbeef01")', [Fixes(SHA[:12], "Revert deadbeef01")]),
    "two lines": ("Fixes: aaaaaaaa11\nFixes: bbbbbbbb22", [Fixes("aaaaaaaa11"), Fixes("bbbbbbbb22")]),
    "two on a line": ("Fixes: aaaaaaaa11, bbbbbbbb22", [Fixes("aaaaaaaa11"), Fixes("bbbbbbbb22")]),
    "wrapped subject": ('Fixes: aaaaaaaa11 ("one two\n  three")', [Fixes("aaaaaaaa11", "one two three")]),
    "wrapped, a trailer below": ('Fixes: aaaaaaaa11 ("one\nCc: a@b.c', [Fixes("aaaaaaaa11")]),
    "gitlab commit": (f"Fixes: https://gitlab.com/qemu-project/qemu/-/commit/{SHA}", [Fixes(SHA)]),
    "gitlab issue": (
        "Fixes: https://gitlab.com/qemu-project/qemu/-/issues/1234",
        [Fixes(bug="https://gitlab.com/qemu-project/qemu/-/issues/1234")],
    ),
    "launchpad, eight digits": (
        "Fixes: https://bugs.launchpad.net/qemu/+bug/18925401",
        [Fixes(bug="https://bugs.launchpad.net/qemu/+bug/18925401")],
    ),
    "CID": ("Fixes: CID 1453098", [Fixes(bug="CID 1453098")]),
    "Coverity CID": ("Fixes: Coverity CID 14530988", [Fixes(bug="CID 14530988")]),
    "CVE": ("Fixes: CVE-2021-3611", [Fixes(bug="CVE-2021-3611")]),
    "git describe": ("Fixes: v4.2.0-1858-gdb736e0437", [Fixes("db736e0437")]),
    "subject alone": (f'Fixes: "{SUBJECT}"', [Fixes(subject=SUBJECT)]),
    "too short": ("Fixes: 12345", []),
    "prose": ("Fixes: a crash on reset", []),
    "in a sentence": ("This fixes: nothing here\nnot Fixes: aaaaaaaa11", []),
    "none": ("hw/core: tidy up\n\nReviewed-by: A <a@b.c>", []),
}


@pytest.mark.parametrize(("body", "claims"), FIXES.values(), ids=FIXES)
def test_fixes(body: str, claims: list[Fixes]) -> None:
    assert list(fixes(f"subject\n\nText.\n\n{body}\nSigned-off-by: A <a@b.c>\n")) == claims


@given(st.text(alphabet=st.characters(blacklist_categories=["C", "Z"]), min_size=1, max_size=60))
def test_our_own_tag_is_read_back_and_is_one_line(subject: str) -> None:
    line = fixes_tag(SHA, subject)
    assert "\n" not in line
    assert fixes(line)[0].sha == SHA[:12]


def test_a_tag_is_never_wrapped() -> None:
    assert fixes_tag(SHA, "a\n b  " + "x" * 90) == f'Fixes: {SHA[:12]} ("a b {"x" * 90}")'


IDS = {
    "Message-Id": (
        "Message-Id: <20200219160953.13771-1-author@example.org>",
        ["20200219160953.13771-1-author@example.org"],
    ),
    "Message-ID": ("Message-ID: <a.1@b.c>", ["a.1@b.c"]),
    "bare": ("Message-Id: a.1@b.c", ["a.1@b.c"]),
    "none": ("Reviewed-by: A <a@b.c>", []),
    "several, the committer's first": ("Message-Id: <old@b.c>\nMessage-ID: <new@b.c>", ["new@b.c", "old@b.c"]),
    "twice the same": ("Message-Id: <x@b.c>\nMessage-ID: <x@b.c>", ["x@b.c"]),
    "Link only": ("Link: https://lore.kernel.org/r/a.1@b.c", ["a.1@b.c"]),
    "Link with list": ("Link: https://lore.kernel.org/qemu-devel/a.1@b.c/", ["a.1@b.c"]),
    "Link, escaped": ("Link: https://lore.kernel.org/qemu-devel/a.1%40b.c", ["a.1@b.c"]),
    "Link in a thread": ("Link: https://lore.kernel.org/qemu-devel/a.1@b.c/#t", ["a.1@b.c"]),
    "Link beside an id": ("Link: https://lore.kernel.org/r/x@y.z\nMessage-Id: <a@b.c>", ["a@b.c"]),
    "Link to something else": ("Link: https://gitlab.com/qemu-project/qemu/-/issues/1", []),
    "in prose": ("see Message-Id: <a@b.c>", []),
    "no address": ("Message-Id: <hello>", []),
}


@pytest.mark.parametrize(("body", "ids"), IDS.values(), ids=IDS)
def test_message_ids(body: str, ids: list[str]) -> None:
    assert list(message_ids(f"subject\n\n{body}\nSigned-off-by: A <a@b.c>\n")) == ids


def test_people_in_the_roles_asked_for() -> None:
    body = (
        'x\n\nReviewed-by: Philippe Mathieu-Daudé <f4bug@amsat.org>\nAcked-by: "Dr. A" <a@b.c>\n'
        "reviewed-by: bare@b.c\nCc: qemu-stable@nongnu.org\nReviewed-by: nobody\n"
        "Reviewed-by: Philippe Mathieu-Daudé <f4bug@amsat.org>\nSigned-off-by: Me <m@b.c>\n"
    )
    assert people(body, ("Reviewed-by", "Acked-by")) == (
        ("Philippe Mathieu-Daudé", "f4bug@amsat.org"),
        ("Dr. A", "a@b.c"),
        ("", "bare@b.c"),
    )
    assert people(body, ["Cc"]) == (("", "qemu-stable@nongnu.org"),)
    assert people(body, []) == ()


REVERTS = {
    "git's own": (f"This reverts commit {SHA}.", [SHA]),
    "wrapped": (f"This reverts commit\n{SHA}.", [SHA]),
    "two": ("This reverts commits aaaaaaaa11 and bbbbbbbb22.", ["aaaaaaaa11", "bbbbbbbb22"]),
    "partially": ("This partially reverts commit aaaaaaaa11.", ["aaaaaaaa11"]),
    "imperative": ('Revert commit aaaaaaaa11 ("x: y") for now', ["aaaaaaaa11"]),
    "a mention is none": (f"Since commit {SHA} this fails.", []),
}


@pytest.mark.parametrize(("body", "shas"), REVERTS.values(), ids=REVERTS)
def test_reverts(body: str, shas: list[str]) -> None:
    assert list(reverts(body)) == shas


def test_picked_from() -> None:
    assert picked_from(f"x\n\n(cherry picked from commit {SHA})\n") == (SHA,)
    assert picked_from(f"x\n\n(backported from upstream commit {SHA[:12]})\n") == (SHA[:12],)
    assert picked_from(f"[ Upstream commit {SHA} ]") == (SHA,)
    assert picked_from(f"like commit {SHA} did, on one line with more") == ()


def test_names_a_commit() -> None:
    assert names(f'x\n\nFixes: {SHA[:10]} ("y")\n', SHA)
    assert names(f"x\n\nThis reverts commit {SHA}.\n", SHA)
    assert not names(f"x\n\nAs {SHA} says.\n", SHA)
    assert not names("x\n\nFixes: 900c0ba374\n", SHA)
