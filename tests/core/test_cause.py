"""Which first bad commits are said to have a common cause."""

from __future__ import annotations

import pytest

from bot.core.cause import added, brings, series, shared
from bot.core.dag import Dag
from bot.core.patch import Patch, digest

OPTS_IN = b"""\
diff --git a/hw/i386/pc.c b/hw/i386/pc.c
index 2ddce4230a..6ab4acb0c6 100644
--- a/hw/i386/pc.c
+++ b/hw/i386/pc.c
@@ -950,4 +950,5 @@ void pc_memory_init(PCMachineState *pcms,
     mc->nvdimm_supported = true;
-    memory_region_allocate_system_memory(ram, NULL, "pc.ram",
+    *ram_memory = machine->ram;
+    mc->default_ram_id = "pc.ram";
"""
BRINGS = b"""\
diff --git a/include/hw/boards.h b/include/hw/boards.h
index 7b4b6b79d7..8e536cafb2 100644
--- a/include/hw/boards.h
+++ b/include/hw/boards.h
@@ -226,2 +233,3 @@ struct MachineClass {
     bool auto_enable_numa;
+    const char *default_ram_id;
"""


def mail(number: int, of: str = "20200219160953.13771", who: str = "imammedo@redhat.com") -> str:
    return f"subject\n\nSigned-off-by: A <a@example.org>\nMessage-Id: <{of}-{number}-{who}>\n"


def test_patches_of_one_series() -> None:
    assert series(mail(2)) & series(mail(68))
    assert not series(mail(2)) & series(mail(2, of="20200219160953.13772"))
    assert not series(mail(2)) & series(mail(2, who="someone@redhat.com"))
    assert not series("no mail at all") & series("nor here")


@pytest.mark.parametrize(
    "mid", ["871qaqmxbq.fsf@linaro.org", "CAFEAcA-xyz@mail.gmail.com", "20200219160953.13771@host"]
)
def test_a_mail_that_is_not_numbered_is_of_no_series(mid: str) -> None:
    assert not series(f"subject\n\nMessage-ID: <{mid}>\n")


def test_names_of_added_lines() -> None:
    assert added(OPTS_IN) == {"ram_memory", "machine", "default_ram_id"}
    assert brings(BRINGS, "default_ram_id")
    assert not brings(BRINGS, "auto_enable_numa")  # was there before
    assert not brings(BRINGS, "MachineClass")  # the hunk's heading
    assert not brings(b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-int renamed_twice;\n+long renamed_twice;\n", "renamed_twice")


def diff(*names: str) -> Patch:
    lines = "".join(f"+{name}\n" for name in names)
    return digest(b"", f"diff --git a/x.c b/x.c\n--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n{lines}".encode())


def line(n: int) -> Dag:
    return Dag.of({f"c{i}": (f"c{i - 1}",) for i in range(1, n + 1)})


def test_the_oldest_commit_with_the_rarest_name_that_both_add() -> None:
    dag = line(100)
    patches = dict.fromkeys(dag.commits, Patch())
    patches |= {f"c{i}": diff("used_by_four") for i in (20, 30)}
    patches |= {f"c{i}": diff("used_by_three") for i in (10,)}
    names = ("used_by_four", "used_by_three", "theirs_alone")
    patches |= {"c50": diff(*names), "c60": diff(*names)}
    found = shared(dag, patches, {"c60": names, "c50": names[:2]})
    assert [(one.name, one.commit, one.commits) for one in found] == [
        ("used_by_three", "c10", 3),
        ("used_by_four", "c20", 4),
    ]


def test_a_name_that_many_have_says_nothing() -> None:
    dag = line(100)
    patches = {sha: diff("everywhere") if i % 10 == 0 else Patch() for i, sha in enumerate(dag.commits)}
    assert shared(dag, patches, {"c60": {"everywhere"}, "c50": {"everywhere"}}) == ()
    fewer = {sha: patch for i, (sha, patch) in enumerate(patches.items()) if i < 80}
    assert [one.commits for one in shared(dag, fewer, {"c60": {"everywhere"}, "c50": {"everywhere"}})] == [8]


def test_what_only_one_of_them_has_in_its_history_is_no_common_cause() -> None:
    dag = Dag.of({"a": ("good",), "b": ("good",), "m": ("a", "b"), "old": ("good",), "c": ("old",), "t": ("m", "c")})
    patches = {sha: diff("some_name") for sha in ("a", "m", "c")}
    assert shared(dag, patches, {"m": {"some_name"}, "c": {"some_name"}}) == ()


def test_what_a_culprit_brought_itself_has_no_earlier_cause() -> None:
    dag = line(9)
    patches = {sha: diff("some_name") for sha in ("c3", "c7")}
    assert shared(dag, patches, {"c3": {"some_name"}, "c7": {"some_name"}}) == ()
    (found,) = shared(dag, patches | {"c2": diff("some_name")}, {"c3": {"some_name"}, "c7": {"some_name"}})
    assert found.commit == "c2"
