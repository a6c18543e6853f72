"""What is to go out about a report, as it is put into the outbox. Whoever searches needs no more than that to publish:
what sends, with its secrets, is `pipeline.sending`.
"""

from __future__ import annotations

from bot.config import Config
from bot.core.gate import Kind
from bot.core.outbox import GITLAB, MAIL
from bot.data import data_dir
from bot.errors import UserError
from bot.model import Report
from bot.report.post.issue import issue
from bot.report.post.notice import notice
from bot.store.outbox import Post
from bot.store.store import Mail

NEVER = "sending: report.send was never when it was written"


def posts(report: Report, kind: Kind, mail: Mail, config: Config) -> tuple[Post, ...]:
    """What is to go out about a report: its mail, its issue, and what each webhook is told."""
    settings = config.post_settings
    held = mail.held if settings.by != "never" else (*mail.held, NEVER)
    found = [Post(kind, mail.message_id, MAIL, held, mail.eml)]
    if settings.gitlab is not None:
        told = issue(mail.eml, kind, report.regression, config.report_settings)
        found.append(Post(kind, mail.message_id, GITLAB, mail.held, told))
    for hook in settings.webhooks:
        text, why = "{}", mail.held
        try:
            text = notice(
                report, kind, mail.message_id, config.report_settings, data_dir() / "templates", hook.template
            )
        except UserError as error:  # the verdict is not to wait for it
            why = (*mail.held, f"template: {error}")
        found.append(Post(kind, mail.message_id, hook.name, why, text))
    return tuple(found)
