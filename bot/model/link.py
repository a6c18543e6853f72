"""Words of the executor: where other hosts are met."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Link:
    """Where the scheduler is, and by what all sides know each other. Times in seconds."""

    address: str  # tls://HOST:PORT
    ca: Path
    cert: Path
    key: Path
    timeout: float = 300.0  # that a test waits for a worker that could do it
    lost: float = 30.0  # silence after which the other side is lost
    retries: int = 2  # times that a test is begun anew because its worker was lost, or its host failed
