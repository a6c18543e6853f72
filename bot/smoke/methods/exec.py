"""Saved to a file, restored from it: what `virsh save` does, and what golden streams are made by.

The destination of a running guest starts without -S here, so that it goes on by itself.
"""

from __future__ import annotations

import shlex

from bot.smoke.plan import Method
from bot.smoke.scene import Scene


class Exec(Method):
    name = "exec"
    autostart = True

    async def transfer(self, scene: Scene) -> None:
        file = scene.file("state")
        if await scene.save(file):
            await scene.listen(f"exec:cat {shlex.quote(str(file))}")
            await scene.settle()
