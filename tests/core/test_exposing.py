"""First bad commits that only show an older fault, by diffs in the form of QEMU's."""

from __future__ import annotations

import pytest

from bot.core.exposing import why

CHECK = """\
diff --git a/hw/virtio/virtio.c b/hw/virtio/virtio.c
--- a/hw/virtio/virtio.c
+++ b/hw/virtio/virtio.c
@@ -3210,6 +3210,14 @@ int virtio_load(VirtIODevice *vdev, QEMUFile *f, int version_id)
     for (i = 0; i < num; i++) {
         vdev->vq[i].vring.num = qemu_get_be32(f);
+        if (vdev->vq[i].vring.num > vdev->vq[i].vring.num_default) {
+            error_report("VQ %u vring.num %u exceeds "
+                         "allocated max %" PRIu32, i,
+                         vdev->vq[i].vring.num, vdev->vq[i].vring.num_default);
+            return -EINVAL;
+        }
         if (k->has_variable_vring_alignment) {
"""
SAID = "qemu-system-x86_64: VQ 0 vring.num 1024 exceeds allocated max 8"
MOVED = (
    CHECK
    + """\
diff --git a/hw/virtio/virtio-pci.c b/hw/virtio/virtio-pci.c
--- a/hw/virtio/virtio-pci.c
+++ b/hw/virtio/virtio-pci.c
@@ -1,6 +1,5 @@ static int virtio_pci_load_queue(DeviceState *d, int n, QEMUFile *f)
-        error_report("VQ %u vring.num %u exceeds allocated max %u", n, num, max);
"""
)
CODE = """\
diff --git a/hw/core/machine.c b/hw/core/machine.c
--- a/hw/core/machine.c
+++ b/hw/core/machine.c
@@ -100,6 +100,7 @@ static void machine_set_mem(Object *obj, Visitor *v, const char *name)
     MachineState *ms = MACHINE(obj);
+    ms->ram_id = "ram";
"""
ASSERTION = """\
diff --git a/migration/vmstate.c b/migration/vmstate.c
--- a/migration/vmstate.c
+++ b/migration/vmstate.c
@@ -120,6 +120,7 @@ int vmstate_load_state(QEMUFile *f, const VMStateDescription *vmsd,
             if (field->flags & VMS_POINTER) {
                 first_elem = *(void **)first_elem;
+                assert(first_elem || !n_elems ||
+                       !size);
             }
"""
ASSERTED = "../migration/vmstate.c:131: vmstate_load_state: Assertion `first_elem || !n_elems || !size' failed."
GLIB = """\
diff --git a/hw/sd/sd.c b/hw/sd/sd.c
--- a/hw/sd/sd.c
+++ b/hw/sd/sd.c
@@ -120,6 +120,7 @@ static int sd_post_load(void *opaque, int version_id)
+    g_assert_cmpint(sd->state, ==, sd_idle_state);
"""
COMPAT = """\
diff --git a/hw/core/machine.c b/hw/core/machine.c
--- a/hw/core/machine.c
+++ b/hw/core/machine.c
@@ -37,6 +37,11 @@
 #include "hw/virtio/virtio-iommu.h"
 #include "audio/audio.h"
+GlobalProperty hw_compat_10_2[] = {
+    { "virtio-pci", "x-new",
+      "off" },
+};
+const size_t hw_compat_10_2_len = G_N_ELEMENTS(hw_compat_10_2);
+
 GlobalProperty hw_compat_10_1[] = {
     { TYPE_ACPI_GED, "x-has-hest-addr", "false" },
 };
diff --git a/hw/i386/pc_q35.c b/hw/i386/pc_q35.c
--- a/hw/i386/pc_q35.c
+++ b/hw/i386/pc_q35.c
@@ -363,9 +363,18 @@ static void pc_q35_machine_options(MachineClass *m)
 }
-static void pc_q35_machine_10_2_options(MachineClass *m)
+static void pc_q35_machine_11_0_options(MachineClass *m)
 {
     pc_q35_machine_options(m);
+    m->alias = "q35";
 }
-DEFINE_Q35_MACHINE_AS_LATEST(10, 2);
+DEFINE_Q35_MACHINE_AS_LATEST(11, 0);
diff --git a/include/hw/boards.h b/include/hw/boards.h
--- a/include/hw/boards.h
+++ b/include/hw/boards.h
@@ -790,6 +790,9 @@ struct MachineState {
     DEFINE_MACHINE_EXTENDED(namestr, MACHINE, ABI, false, machine_initfn)
+extern GlobalProperty hw_compat_10_2[];
+extern const size_t hw_compat_10_2_len;
+
 extern GlobalProperty hw_compat_10_1[];
diff --git a/docs/about/removed.rst b/docs/about/removed.rst
--- a/docs/about/removed.rst
+++ b/docs/about/removed.rst
@@ -1,2 +1,3 @@
+nothing
"""
VERSION = """\
diff --git a/VERSION b/VERSION
--- a/VERSION
+++ b/VERSION
@@ -1 +1 @@
-10.2.50
+11.0.0
"""
SUBMODULE = "diff --git a/roms/seabios b/roms/seabios\n--- a/roms/seabios\n+++ b/roms/seabios\n@@ -1 +1 @@\n-a\n+b\n"

EXPOSES = {
    "the message, in pieces": (CHECK, SAID, "adds the check"),
    "the assertion, over two lines": (ASSERTION, ASSERTED, "adds the check"),
    "an assertion of GLib": (
        GLIB, "ERROR:../hw/sd/sd.c:120:sd_post_load: assertion failed (sd->state == sd_idle_state): (2 == 0)", "adds",
    ),
    "compat tables and machine types": (COMPAT, SAID, "compat tables"),
    "the same with VERSION": (COMPAT + VERSION, SAID, "compat tables"),
    "VERSION": (VERSION, SAID, "VERSION"),
}  # fmt: skip
INNOCENT = {
    "another message": (CHECK, "qemu-system-x86_64: Missing section footer for i2c_bus"),
    "no message": (CHECK, ""),
    "a message that was there before": (MOVED, SAID),
    "another assertion": (ASSERTION, ASSERTED.replace("!size", "size")),
    "code": (CODE, SAID),
    "code beside compat tables": (COMPAT + CODE, SAID),
    "code beside VERSION": (VERSION + CODE, SAID),
    "what is no source beside compat tables": (COMPAT + SUBMODULE, SAID),
    "words that are in many messages": (CHECK.replace("vring.num %u exceeds ", "%s: %s"), SAID),
    "nothing": ("", SAID),
}


@pytest.mark.parametrize("name", EXPOSES)
def test_only_exposes(name: str) -> None:
    patch, cause, words = EXPOSES[name]
    assert words in why(patch, cause)


@pytest.mark.parametrize("name", INNOCENT)
def test_may_have_brought_it(name: str) -> None:
    assert why(*INNOCENT[name]) == ""
