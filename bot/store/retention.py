"""Which blobs are still needed: reports, mails, searches and what is to go out for ever, logs of runs and builds for a
time. The rows stay, whatever becomes of their logs: outcomes and signatures are small, and verdicts are made of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import select

from bot.store import schema
from bot.store.store import Store

_FOR_EVER = (
    schema.regressions.c.report, schema.regressions.c.log, schema.events.c.report, schema.reports.c.eml,
    schema.outbox.c.body, schema.series.c.report,
)  # fmt: skip


def needed(store: Store, since: float) -> set[str]:
    """The blobs that are named by anything but runs and builds before `since`, in seconds since the epoch."""
    return set(_named(store, since))


def _named(store: Store, since: float) -> Iterator[str]:
    for column in _FOR_EVER:
        yield from (row[column.name] for row in store.rows(select(column).where(column.is_not(None))))
    builds, runs = schema.builds.c, schema.runs.c
    yield from (row["log"] for row in store.rows(select(builds.log).where(builds.at >= since)))
    for row in store.rows(select(runs.logs).where(runs.at >= since).distinct()):
        yield from (blob for _, blob in json.loads(row["logs"]))
