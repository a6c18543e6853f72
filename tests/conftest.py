"""For all tests: a git that knows no user, skips that may not hide anything in CI, and properties without a clock."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# Property tests are not races: how long an example takes on a busy machine says nothing.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With BOT_EVERY_TEST set a test that is skipped has failed: `make test` brings all that they need."""
    report = yield
    if report.skipped and os.environ.get("BOT_EVERY_TEST"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which BOT_EVERY_TEST forbids: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def hermetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's git configuration, and a git that runs us, are not part of any test."""
    for name in [n for n in os.environ if n.startswith("GIT_") and n != "GIT_SSL_CAINFO"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_EDITOR", "false")
