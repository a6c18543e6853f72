"""What a webhook is told of a regression: JSON, made by a template."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import TemplateError

from bot.core.gate import Kind
from bot.errors import UserError
from bot.model import Report, ReportSettings
from bot.report import render
from bot.report.safe import line

SHIPPED = "webhook.json.j2"


def notice(
    report: Report, kind: Kind, message_id: str, settings: ReportSettings, templates: Path, own: Path | None
) -> str:
    """The JSON, by the template `own` or the shipped one. Raises `UserError` if it makes none."""
    file = own or templates / SHIPPED
    culprit = report.culprit
    values = {
        "regression": report.regression.id,
        "kind": str(kind),
        "message_id": message_id,
        "subject": render.subject(report),
        "culprit": culprit.sha if culprit else None,
        "culprit_subject": line(culprit.subject) if culprit else None,
        "good": report.good.sha,
        "bad": report.bad.sha,
        "signature": line(str(report.regression.signature)),
        "url": f"{settings.url.rstrip('/')}/{report.regression.id}" if settings.url else None,
        "summary": render.summary(report),
    }
    try:
        text = render.environment(file.parent).get_template(file.name).render(values)
        return json.dumps(json.loads(text))
    except (TemplateError, ValueError, TypeError) as error:
        raise UserError(f"{file}: makes no JSON: {line(str(error), 200)}") from error
