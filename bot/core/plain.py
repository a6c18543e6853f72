"""Text from outside (subjects, names, stderr) without what a terminal, a file or a mail would act on."""

from __future__ import annotations

import re
import unicodedata

_ANSI = re.compile(
    r"\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # operating system commands: titles, links
    r"|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?"  # strings
    r"|[\x1b\x9b]\[?[0-?]*[ -/]*[@-~]"  # control sequences (ECMA-48, 5.4) and two-byte escapes
)
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format, surrogate, line and paragraph separators


def clean(text: str) -> str:
    """Lines without escape sequences, control or invisible characters; tabs stay, CR LF becomes LF."""
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _HIDDEN)


def line(text: str, limit: int | None = None) -> str:
    """The same on one line, white space folded, cut at `limit` characters."""
    folded = " ".join(clean(text).split())
    return folded if limit is None or len(folded) <= limit else folded[: limit - 3].rstrip() + "..."
