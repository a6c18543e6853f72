"""Over a unix socket, memory first: what `virsh migrate` does."""

from __future__ import annotations

from bot.model import PRECOPY
from bot.smoke.plan import Method
from bot.smoke.scene import Scene


class Precopy(Method):
    name = PRECOPY

    async def transfer(self, scene: Scene) -> None:
        await scene.listen(scene.socket)
        await scene.send(scene.socket)
        await scene.settle()
