"""There and back again: what a destination has loaded, it must be able to send to a fresh QEMU like the source."""

from __future__ import annotations

from bot.smoke.methods.precopy import Precopy
from bot.smoke.scene import Scene


class PingPong(Precopy):
    name = "ping-pong"

    async def play(self, scene: Scene) -> None:
        await super().play(scene)
        if scene.well:
            await scene.turn_back()
            await super().play(scene)
