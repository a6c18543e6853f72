"""What stands beside the pages for programs: JSON of the index and of a heat map, and an Atom feed.

JSON has the schema's version, `bot.report.data.SCHEMA`; keys may be added within one, never changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment

from bot.model import Commit, Run
from bot.report import table
from bot.report.background import Background
from bot.report.data import SCHEMA
from bot.report.safe import xml_line

_NEWS = 50  # regressions that a feed has


def index(
    heads: Sequence[Mapping[str, Any]],
    tips: Sequence[tuple[str, Commit, str, str]],
    series: Sequence[Mapping[str, Any]],
    now: datetime,
) -> str:
    """Regressions and posted series as they are listed, and the branches (name, commit, what its files are called,
    counts in words)."""
    branches = [
        {"branch": branch, "commit": commit.sha, "summary": counts, "page": f"{name}.html", "json": f"{name}.json"}
        for branch, commit, name, counts in tips
    ]
    found = [
        {
            **{key: value for key, value in head.items() if key != "found"},  # `opened` says it
            "changed": _stamp(head["changed"]),
            **_files(head),
        }
        for head in heads
    ]
    posted = [
        {
            **{key: value for key, value in head.items() if key != "day"},  # `found` says it
            "found": _stamp(head["found"]),
            **_files(head),
        }
        for head in series
    ]
    return _dump({"made": _stamp(now.timestamp()), "regressions": found, "branches": branches, "series": posted})


def _files(head: Mapping[str, Any]) -> dict[str, str]:
    return {"page": f"{head['id']}/index.html", "json": f"{head['id']}/report.json"}


def matrix(branch: str, commit: Commit, runs: Sequence[Run], about: Background) -> str:
    """The latest run of each case, without logs; `expected` is the entry that knows its failure."""
    latest = {run.case: run for run in runs}
    rows = [
        {
            "case": case.id, "target": case.target, "machine": case.machine, "way": table.way(case),
            "direction": case.direction, "baseline": case.baseline, "outcome": run.outcome,
            "signature": str(run.signature) if run.signature else None,
            "expected": about.expected[case].id if case in about.expected else None,
        }
        for case, run in sorted(latest.items(), key=lambda item: item[0].id)
    ]  # fmt: skip
    return _dump({"branch": branch, "commit": commit.sha, "cases": rows})


def feed(jinja: Environment, heads: Sequence[Mapping[str, Any]], url: str, now: datetime) -> str:
    """Atom (RFC 4287) of the regressions that changed last; `url` is where the pages can be read."""
    newest = sorted(heads, key=lambda head: -head["changed"])[:_NEWS]
    items = [
        {
            "id": head["id"], "updated": _stamp(head["changed"]),
            "title": xml_line(f"{head['id']}: {head['title']} ({head['state']})"),
            "summary": xml_line(", ".join(filter(None, (head["conclusion"], head["note"])))),
        }
        for head in newest
    ]  # fmt: skip
    updated = items[0]["updated"] if items else _stamp(now.timestamp())
    return jinja.get_template("feed.xml.j2").render(items=items, url=url.rstrip("/"), updated=updated)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _dump(what: Mapping[str, Any]) -> str:
    return json.dumps({"schema": SCHEMA, **what}, indent=1, sort_keys=True) + "\n"
