"""Passwords and tokens: from a file, or from a variable `BOT_SECRET_NAME`, which no child of ours inherits.

They are `SecretStr` from the moment they are asked for, so that no log, traceback or repr shows them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pydantic import SecretStr

from bot.errors import UserError
from bot.host import withheld

_OPEN = stat.S_IROTH | stat.S_IWOTH | stat.S_IXOTH | stat.S_IWGRP  # modes of a file that others can get at
_LIMIT = 4096  # bytes

withheld.withhold()


def secret(name: str, file: Path | None, key: str) -> SecretStr | None:
    """The secret in `file`, else that of the variable BOT_SECRET_`name`, else None. `key` is the setting, for errors.

    Raises `UserError` if the file cannot be read, others can read it, or what it holds is not one line of ASCII.
    """
    if file is None:
        found = withheld.taken(name)
        return None if found is None else _checked(SecretStr(found.reveal()), f"the variable {withheld.PREFIX}{name}")
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UserError(f"{key}: {file} is not a file")
            if mode & _OPEN:
                raise UserError(f"{key}: {file} can be read or changed by others: chmod 600 {file}")
            data = opened.read(_LIMIT)
    except OSError as error:
        raise UserError(f"{key}: cannot read {file}: {error.strerror}") from error
    return _checked(SecretStr(data.decode("latin-1").rstrip("\r\n")), f"{key}: {file}")


def _checked(found: SecretStr, where: str) -> SecretStr:
    value = found.get_secret_value()
    if not value or not value.isascii() or not value.isprintable():
        raise UserError(f"{where} must hold one line of printable ASCII, and nothing else")
    return found
