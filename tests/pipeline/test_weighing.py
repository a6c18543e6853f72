"""Which words of a log are looked for in the diffs of a range."""

from __future__ import annotations

import pytest

from bot.pipeline.weighing import without_warnings

WARNING = "qemu-system-ppc64: warning: TCG doesn't support requested feature, cap-cfpc=workaround"
ERROR = "qemu-system-ppc64: cpu/slb: incoming version_id 2 is too new for local version_id 1"


@pytest.mark.parametrize(
    ("log", "telling"),
    [
        pytest.param(f"{WARNING}\n{ERROR}\n", ERROR, id="what a run that passes prints too"),
        pytest.param(f"{ERROR}\nload of migration failed", f"{ERROR}\nload of migration failed", id="no warning"),
        pytest.param(f"{WARNING}\n\n", f"{WARNING}\n\n", id="nothing else is known"),
        pytest.param("", "", id="nothing is known"),
    ],
)
def test_warnings_are_no_words_of_the_failure(log: str, telling: str) -> None:
    assert without_warnings(log) == telling
