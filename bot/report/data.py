"""The JSON twin of a report, for programs: stable keys, sorted, with the version of the schema.

    schema    1; a reader refuses a number that it does not know. Keys may be added within one schema, never changed
    report    the fields of `bot.model.Report` under their own names, dataclasses as objects, tuples as arrays;
              outcomes, verdicts and directions as their words, commits as 40 hex digits, times in seconds
    finding   within the report: the fields of the finding and `kind`, one of `KINDS`
    series    the fields of `bot.model.SeriesReport`; each of its `reports` is as `report` is

Texts are as they were observed, control bytes included: who shows them cleans them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from bot.errors import UserError
from bot.model import Case, Expected, Finding, Posted, Report, Run, SeriesReport

SCHEMA = 1
KINDS = {
    "first-bad": "FirstBad",
    "first-fixed": "FirstFixed",
    "suspects": "Suspects",
    "not-reproduced": "NotReproduced",
    "bad-at-good-end": "BadAtGoodEnd",
    "flaky": "Flaky",
    "merge-conflict": "MergeConflict",
    "inconclusive": "Inconclusive",
}
"""`finding.kind` -> class of `bot.model`."""

_REPORT: TypeAdapter[Report] = TypeAdapter(Report)
_RUN: TypeAdapter[Run] = TypeAdapter(Run)
_SERIES: TypeAdapter[SeriesReport] = TypeAdapter(SeriesReport)
_FINDINGS: dict[str, TypeAdapter[Finding]] = {cls.__name__: TypeAdapter(cls) for cls in get_args(Finding)}
_NAMES = {name: kind for kind, name in KINDS.items()}


def finding_kind(finding: Finding) -> str:
    """The word for a finding, as `finding.kind` has it."""
    return _NAMES[type(finding).__name__]


def dump(report: Report) -> str:
    """A report as JSON, one document, sorted keys, ending in a newline."""
    data = _REPORT.dump_python(report, mode="json")
    data["finding"]["kind"] = finding_kind(report.finding)
    return json.dumps({"schema": SCHEMA, "report": data}, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def dump_runs(
    runs: Sequence[Run], expected: Mapping[Case, Expected] | None = None, posted: Posted | None = None
) -> str:
    """Runs as JSON, in the same schema: `{"schema": 1, "runs": [...]}`.

    A run whose failure is known has the key `expected`, the id of the entry that knows it. What was tested with a
    posted series has it in the key `posted`.
    """
    known = expected or {}
    rows = [
        _RUN.dump_python(run, mode="json") | ({"expected": known[run.case].id} if run.case in known else {})
        for run in runs
    ]
    series = {} if posted is None else {"posted": asdict(posted)}
    return json.dumps({"schema": SCHEMA, "runs": rows, **series}, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def dump_series(report: SeriesReport) -> str:
    """What was found about a posted series, as JSON in the same schema: `{"schema": 1, "series": {...}}`."""
    document = _SERIES.dump_python(report, mode="json")
    for one, plain in zip(document["reports"], report.reports, strict=True):
        one["finding"]["kind"] = finding_kind(plain.finding)
    return json.dumps({"schema": SCHEMA, "series": document}, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def load_series(text: str, where: str = "series") -> SeriesReport:
    """The report that `dump_series` wrote. Raises `UserError` that names `where` for anything else."""
    with _reading(text, where, "series") as document:
        reports = [_report(one, where) for one in document["reports"]]
        return replace(_SERIES.validate_python({**document, "reports": []}), reports=tuple(reports))


def load(text: str, where: str = "report") -> Report:
    """The report that `dump` wrote. Raises `UserError` that names `where` for anything else."""
    with _reading(text, where, "report") as document:
        return _report(document, where)


def _report(value: Any, where: str) -> Report:
    data = _object(value)
    finding = _object(data["finding"])
    name = KINDS.get(finding.pop("kind", ""))
    if name is None:
        raise UserError(f"{where}: finding.kind: not one of {', '.join(KINDS)}")
    data["finding"] = _FINDINGS[name].validate_python(finding)
    return _REPORT.validate_python(data)


@contextmanager
def _reading(text: str, where: str, key: str) -> Iterator[dict[str, Any]]:
    """What a document has under a key; what is wrong with it, then or later, is told as a `UserError`."""
    try:
        document = json.loads(text)
        data = _object(document[key])
        if document["schema"] != SCHEMA:
            raise UserError(f"{where}: schema {document['schema']}; this program reads schema {SCHEMA}")
        yield data
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {key}.{place}: {first['msg']}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{where}: not the JSON of a {key}: {error}") from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return value
