"""The tests that docs/threats.md names are there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
NAMED = re.compile(r"`([\w/]+\.py)(?:::(test_\w+))?`")


def test_each_threat_has_its_tests() -> None:
    rows = [line for line in (HERE.parent / "docs/threats.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    for row in rows:
        named = NAMED.findall(row)
        assert named, f"nothing tries this: {row}"
        for path, test in named:
            assert f"\ndef {test or 'test_'}" in (HERE / path).read_text(), f"{path} has no {test}"
