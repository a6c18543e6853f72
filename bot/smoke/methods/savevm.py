"""A snapshot in a qcow2 image, saved and loaded: what `virsh snapshot-create` does with an internal snapshot.

By the human monitor's savevm and loadvm, which every QEMU has; snapshot-save of QMP came with 6.0.
"""

from __future__ import annotations

import struct

from bot.smoke.plan import Method
from bot.smoke.scene import Scene

_TAG = "bot"
_CLUSTER_BITS = 16
_DISK = 2**20  # bytes; state is kept behind what the guest sees of it


class SaveVm(Method):
    name = "savevm"
    late = True
    stands = True
    takes_state = False  # loadvm leaves that as it was
    arguments = ("-drive", "if=none,id=bot-state,format=qcow2,file={dir}/state.qcow2")

    async def transfer(self, scene: Scene) -> None:
        await scene.order(scene.source, f"savevm {_TAG}")
        await scene.leave(scene.source)
        await scene.start_destination()
        await scene.order(scene.destination, f"loadvm {_TAG}")

    async def play(self, scene: Scene) -> None:
        scene.file("state.qcow2").write_bytes(empty_qcow2(_DISK))
        await super().play(scene)


def empty_qcow2(size: int) -> bytes:
    """An empty qcow2 image of version 2 with a guest-visible size in bytes (docs/interop/qcow2.txt).

    Four clusters: header, refcount table, refcount block, L1 table; each is in use once.
    """
    cluster = 1 << _CLUSTER_BITS
    l1_entries = max(-(-size // (cluster * cluster // 8)), 1)
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb", 2,
        0, 0,  # no backing file
        _CLUSTER_BITS, size,
        0,  # not encrypted
        l1_entries, 3 * cluster,
        cluster, 1,  # refcount table, in clusters
        0, 0,  # no snapshots
    )  # fmt: skip
    refcount_table = struct.pack(">Q", 2 * cluster)
    refcounts = struct.pack(">4H", 1, 1, 1, 1)
    parts = (header, refcount_table, refcounts, bytes(8 * l1_entries))
    return b"".join(part.ljust(cluster, b"\0") for part in parts)
