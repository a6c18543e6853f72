"""The tiny project that the builder's tests build, and a disk that is soon full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.project import Project
from tests.testing.tmpfs import tmpfs


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "upstream")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB; `resize` makes it larger."""
    path = tmp_path / "small"
    with tmpfs(path, "1m"):
        yield path
