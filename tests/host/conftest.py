"""One drawn history that the tests of a module share."""

from __future__ import annotations

import pytest

from tests.testing.history import History, draw

DRAWING = """
0 1 2 3 4
2 a b
4 5=b 6
"""


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> History:
    return draw(tmp_path_factory.mktemp("git") / "upstream", DRAWING)
