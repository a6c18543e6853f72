"""The guest moves first and its memory follows when it is touched (2.6; x-postcopy-ram in 2.5). Needs userfaultfd."""

from __future__ import annotations

from bot.smoke.plan import Method
from bot.smoke.scene import Scene

_SLOW = 64 * 1024  # bytes per second: precopy cannot end before postcopy was asked for, which knows no limit


class Postcopy(Method):
    name = "postcopy"
    capabilities = (("postcopy-ram", "x-postcopy-ram"),)
    takes_state = False  # a destination with -S is paused, whatever the source was

    async def transfer(self, scene: Scene) -> None:
        await scene.limit(_SLOW)
        await scene.listen(scene.socket)
        await scene.send(scene.socket)
        if await scene.status("active"):
            await scene.source.ask("migrate-start-postcopy")
        await scene.settle()
