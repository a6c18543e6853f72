"""How a guest gets from one QEMU to another: one small module for each method, and the table of them.

A further one (mapped-ram, xbzrle) is a module with a `Method` and a line in the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.errors import UserError
from bot.smoke.methods.exec import Exec
from bot.smoke.methods.multifd import Multifd
from bot.smoke.methods.pingpong import PingPong
from bot.smoke.methods.postcopy import Postcopy
from bot.smoke.methods.precopy import Precopy
from bot.smoke.methods.savevm import SaveVm
from bot.smoke.plan import Method

METHODS: Mapping[str, Method] = {
    method.name: method for method in (Precopy(), PingPong(), Exec(), SaveVm(), Multifd(), Postcopy())
}


def method_of(name: str) -> Method:
    """The method of that name. Raises `UserError` with the names there are."""
    try:
        return METHODS[name]
    except KeyError:
        raise UserError(f"no migration method {name!r}: there are {', '.join(METHODS)}") from None
