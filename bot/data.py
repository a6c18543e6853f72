"""Where the files that travel with the program are: the shipped config.yaml and the templates."""

from __future__ import annotations

from pathlib import Path

from bot.errors import UserError


def data_dir() -> Path:
    """The directory that holds `config.yaml` and `templates/`.

    In an installed wheel it is `bot/_data`, where pyproject.toml puts them; in a checkout, and in an editable install
    of one, it is the top of the checkout. Raises `UserError` if neither is there, as when only `bot/` was copied.
    """
    package = Path(__file__).resolve().parent
    for place in (package / "_data", package.parent):
        if (place / "config.yaml").is_file() and (place / "templates").is_dir():
            return place
    raise UserError(f"{package}: config.yaml and templates/ are missing beside the program: install its wheel again")
