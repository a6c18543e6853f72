"""A connection ends in order, also when whoever waits for that is stopped: nothing is printed of it later."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from bot.smoke.qemu import qemu
from tests.testing.qemu import installed


@pytest.mark.parametrize("moment", ["while it runs", "while it is left"])
def test_who_is_stopped_leaves_no_exception_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    left: list[dict[str, Any]] = []
    wait = asyncio.wait

    async def slow(*given: Any, **more: Any) -> Any:
        """qemu.qmp waits so for its own task, whose end is that of the connection."""
        leaving.set()
        await asyncio.sleep(0.2)
        return await wait(*given, **more)

    async def use() -> None:
        argv = [str(installed("x86_64").path), "-M", "none", "-nodefaults", "-display", "none", "-S"]
        async with qemu("machine", argv, tmp_path / "q", 0.0) as machine:
            await machine.connect()
            ready.set()
            if moment == "while it runs":
                await asyncio.sleep(60)

    async def stopped() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: left.append(context))
        task = asyncio.create_task(use())
        await ready.wait()
        if moment == "while it is left":
            monkeypatch.setattr("qemu.qmp.protocol.asyncio.wait", slow)
            await leaving.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
        await asyncio.sleep(0)

    ready, leaving = asyncio.Event(), asyncio.Event()
    asyncio.run(stopped())
    gc.collect()
    assert left == []
