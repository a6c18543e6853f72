"""What happened to regressions, as rows. They are appended; the database itself refuses to change one."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select

from bot.core.lifecycle import EVENTS, Event, Happened
from bot.store import schema

_ADAPTERS: dict[str, TypeAdapter[Any]] = {kind.__name__.lower(): TypeAdapter(kind) for kind in EVENTS}
_TABLE = schema.events


def put(connection: Connection, regression: int, at: float, event: Event, report: str | None = None) -> None:
    """Append an event, in the caller's transaction. `report` is the blob of the report that it sets aside."""
    kind = type(event).__name__.lower()
    row = {
        "regression": regression, "at": at, "kind": kind, "commit": getattr(event, "commit", None),
        "person": getattr(event, "by", None), "data": _ADAPTERS[kind].dump_json(event).decode(), "report": report,
    }  # fmt: skip
    connection.execute(insert(_TABLE), row)


def set_aside(connection: Connection, regression: int | None = None) -> dict[int, tuple[tuple[int, str], ...]]:
    """The reports that events set aside, as (place of the event in its history, blob), by regression."""
    query = select(_TABLE.c.regression, _TABLE.c.report).order_by(_TABLE.c.id)
    if regression is not None:
        query = query.where(_TABLE.c.regression == regression)
    events: dict[int, list[str | None]] = {}
    for key, report in connection.execute(query):
        events.setdefault(key, []).append(report)
    return {key: tuple((at, blob) for at, blob in enumerate(blobs) if blob) for key, blobs in events.items()}


def of(connection: Connection, regression: int) -> tuple[Happened, ...]:
    """What happened to one regression, oldest first."""
    return all_of(connection, regression).get(regression, ())


def all_of(connection: Connection, regression: int | None = None) -> dict[int, tuple[Happened, ...]]:
    """What happened, oldest first, by regression; None: to all of them."""
    query = select(_TABLE).order_by(_TABLE.c.id)
    if regression is not None:
        query = query.where(_TABLE.c.regression == regression)
    found: dict[int, list[Happened]] = {}
    for row in connection.execute(query).mappings():
        event = _ADAPTERS[row["kind"]].validate_json(row["data"])
        found.setdefault(row["regression"], []).append(Happened(row["at"], event))
    return {key: tuple(happened) for key, happened in found.items()}
