"""What one QEMU sends, saved to a file and loaded by nobody yet: the source's half of a migration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bot.smoke import memory
from bot.smoke.judge import Facts
from bot.smoke.memory import Memory
from bot.smoke.plan import Method, Plan
from bot.smoke.scene import Scene, on_stage


@dataclass(frozen=True, slots=True)
class Saved:
    """`facts` are the source's alone; `whole` says whether the file has all of the stream."""

    file: Path
    whole: bool
    facts: Facts
    memory: Memory | None


class _Save(Method):
    name = "save"

    def __init__(self, file: Path, *, remember: bool) -> None:
        self._file, self._remember = file, remember
        self.memory: Memory | None = None

    async def play(self, scene: Scene) -> None:
        await scene.start_source()
        await scene.prepare(self)
        await self.transfer(scene)

    async def transfer(self, scene: Scene) -> None:
        if await scene.save(self._file):
            await scene.source.query_status()
            if self._remember:
                self.memory = await memory.read(scene.source, scene.file("."), quick=False)
            scene.finish()


async def save(plan: Plan, directory: Path, sockets: Path, *, remember: bool = False) -> Saved:
    """Start `plan.source` alone and save its stream in `directory`; `remember` reads the guest's memory too.

    Raises `InfraError` if the machine has no file, process or socket for us. What QEMU does is in the facts.
    """
    file = directory / "saved"
    file.unlink(missing_ok=True)
    method = _Save(file, remember=remember)
    async with on_stage(plan, method, directory, sockets) as scene:
        await method.play(scene)
    return Saved(file, scene.done, scene.facts(), method.memory)
