"""The tiny project that the builder's tests build."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "upstream")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"
