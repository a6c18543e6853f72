"""The tables, and how a file of an older version comes to have them.

The version is in `PRAGMA user_version`. A file of a newer one is refused, never guessed at.
"""

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

VERSION = 3

STEPS: dict[int, tuple[str, ...]] = {
    1: (  # without the column `state`, which said "open" always; DROP COLUMN is of SQLite 3.35, and RHEL 9 has 3.34
        "ALTER TABLE regressions RENAME TO regressions_1",
        "CREATE TABLE regressions (number INTEGER NOT NULL, opened FLOAT NOT NULL, signature VARCHAR(8) NOT NULL, "
        "branch VARCHAR NOT NULL, data TEXT NOT NULL, finding VARCHAR, report VARCHAR(64), log VARCHAR(64), "
        "PRIMARY KEY (number))",
        "INSERT INTO regressions SELECT number, opened, signature, branch, data, finding, report, log "
        "FROM regressions_1",
        "DROP TABLE regressions_1",
    ),
    2: ("ALTER TABLE runs ADD COLUMN toolchain VARCHAR NOT NULL DEFAULT ''",),
}
"""Statements that make a file of a version one of the next. Tables that are only new need none."""

metadata = MetaData()

commits = Table(
    "commits",
    metadata,
    Column("branch", String, primary_key=True),
    Column("sha", String(40), primary_key=True),
    Column("seen", Float, nullable=False, doc="when it was first the tip of the branch, seconds since the epoch"),
    Column("data", Text, nullable=False, doc="the Commit as JSON"),
)

inventories = Table(
    "inventories",
    metadata,
    Column("sha", String(40), primary_key=True),
    Column("target", String, primary_key=True),
    Column("data", Text, nullable=False, doc="the Inventory as JSON, machine types only"),
)

builds = Table(
    "builds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha", String(40), nullable=False),
    Column("target", String, nullable=False),
    Column("status", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("log", String(64), nullable=False, doc="blob"),
    Column("data", Text, nullable=False, doc="the Build as JSON, without its log"),
)
Index("builds_sha", builds.c.sha)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha", String(40), nullable=False),
    Column("case", String, nullable=False, doc="Case.id"),
    Column("setup", String, nullable=False, doc="Run.setup"),
    Column("outcome", String, nullable=False),
    Column("signature", String(8), nullable=True, doc="Signature.key"),
    Column("at", Float, nullable=False),
    Column("logs", Text, nullable=False, doc="JSON: [[name, blob], ...]"),
    Column("data", Text, nullable=False, doc="the Run as JSON, without its logs"),
    Column("toolchain", String, nullable=False, server_default="", doc="Run.toolchain; '': not known"),
)
Index("runs_sha_case", runs.c.sha, runs.c.case)
Index("runs_case", runs.c.case)

regressions = Table(
    "regressions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("opened", Float, nullable=False),
    Column("signature", String(8), nullable=False),
    Column("branch", String, nullable=False),
    Column("data", Text, nullable=False, doc="the Regression as JSON"),
    Column("finding", String, nullable=True, doc="name of the Finding's class; null while the search is not done"),
    Column("report", String(64), nullable=True, doc="blob: the Report as JSON"),
    Column("log", String(64), nullable=True, doc="blob: the search, for `git bisect replay` and `bot replay`"),
)

series = Table(
    "series",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False, doc="when it was first found to break something, seconds since the epoch"),
    Column("sha", String(40), nullable=False, doc="its base with all of its patches"),
    Column("signature", String(8), nullable=False, doc="key of what fails; of several failures a digest of theirs"),
    Column("headline", Text, nullable=True, doc="JSON: what a list says of it"),
    Column("report", String(64), nullable=True, doc="blob: the SeriesReport as JSON; null: it was killed before that"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("regression", Integer, nullable=False),
    Column("at", Float, nullable=False, doc="seconds since the epoch"),
    Column("kind", String, nullable=False, doc="name of the class in core.lifecycle"),
    Column("commit", String(40), nullable=True, doc="that it is about"),
    Column("person", String, nullable=True, doc="who said so; null: runs did, or a commit's message"),
    Column("data", Text, nullable=False, doc="the event as JSON"),
    Column("report", String(64), nullable=True, doc="blob: of one that is searched anew, the report until then"),
)
Index("events_regression", events.c.regression)
APPENDED = tuple(
    f"CREATE TRIGGER IF NOT EXISTS events_no_{word.lower()} BEFORE {word} ON events "
    "BEGIN SELECT RAISE(ABORT, 'events are appended, and stay'); END"
    for word in ("UPDATE", "DELETE")
)
"""Statements that hold that."""

reports = Table(
    "reports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("regression", Integer, nullable=False, doc="of a series its number below 0"),
    Column("kind", String, nullable=False, doc="report, range, merge, ..."),
    Column("message_id", String, nullable=False, unique=True),
    Column("created", Float, nullable=False),
    Column("held", Text, nullable=False, doc="JSON list: why it was not sent"),
    Column("eml", String(64), nullable=False, doc="blob"),
)

cycles = Table(
    "cycles",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("began", Float, nullable=False),
    Column("ended", Float, nullable=True, doc="null: it runs, or was killed"),
    Column("result", String, nullable=True, doc="one line"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("regression", Integer, nullable=False, doc="0: it is about the bot itself; below 0: a series"),
    Column("kind", String, nullable=False, doc="as in reports, or core.alarms.Kind"),
    Column("message_id", String, nullable=False),
    Column("destination", String, nullable=False, doc="mail, gitlab, operator, or the name of a webhook"),
    Column("key", String, nullable=False, doc="idempotency key: what a receiver knows a repetition by"),
    Column("state", String, nullable=False, doc="core.outbox.State"),
    Column("body", String(64), nullable=False, doc="blob: what is sent, as it was written"),
    Column("held", Text, nullable=False, doc="JSON list: what keeps it back"),
    Column("approved_by", String, nullable=True),
    Column("approved_at", Float, nullable=True),
    Column("queued_at", Float, nullable=True, doc="from when on it is tried"),
    Column("attempts", Integer, nullable=False),
    Column("tried", Float, nullable=True, doc="when it was last tried"),
    Column("next_try", Float, nullable=False),
    Column("said", Text, nullable=False, doc="the last answer or error"),
    Column("delivered", Text, nullable=False, doc="JSON list: recipients that have it"),
    Column("refused", Text, nullable=False, doc="JSON list: recipients that it was not taken for"),
    Column("test", Boolean, nullable=False, doc="it went to report.test_to or report.gitlab.test_project alone"),
    UniqueConstraint("message_id", "destination"),
)
Index("outbox_state", outbox.c.state)

nights = Table(
    "nights",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("branch", String, nullable=False),
    Column("sha", String(40), nullable=False, doc="the commit that is swept"),
    Column("began", Float, nullable=False),
    Column("ended", Float, nullable=True, doc="null: it is to be gone on with"),
)

drifts = Table(
    "drifts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("branch", String, nullable=False),
    Column("key", String, nullable=False, doc="core.drift.Drift.key"),
    Column("data", Text, nullable=False, doc="the Drift as JSON"),
    Column("began", Float, nullable=False),
    Column("ended", Float, nullable=True, doc="null: it is there"),
)

releases = Table(
    "releases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("baseline", String, nullable=False, doc="Baseline.name"),
    Column("ref", String, nullable=False, doc="v10.0.13"),
    Column("sha", String(40), nullable=False),
    Column("seen", Float, nullable=False, doc="seconds since the epoch"),
    Column("used", Float, nullable=True, doc="since when it is the baseline; null: it was not yet"),
    Column("gone", Float, nullable=True, doc="since when it is not, nor waits to be"),
    Column("person", String, nullable=True, doc="who decided so; null: runs did"),
    Column("said", Text, nullable=False, doc="a line: what decided it, or keeps it"),
    Column("held", Boolean, nullable=False, doc="a person has to decide"),
    Column("data", Text, nullable=False, doc="JSON: core.succession.Trial, what it and its predecessor came to"),
)
Index("releases_baseline", releases.c.baseline)

troubles = Table(
    "troubles",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String, nullable=False, doc="core.alarms.Kind"),
    Column("since", Float, nullable=False, doc="seconds since the epoch"),
    Column("said", Text, nullable=False, doc="what shows it"),
    Column("began", Float, nullable=False, doc="when it was recorded"),
    Column("told", Boolean, nullable=False, doc="whether there is a mail to the operator"),
    Column("ended", Float, nullable=True, doc="null: it is there"),
)

ways = Table(
    "ways",
    metadata,
    Column("way", String, primary_key=True, doc="mail; there is a row while it takes nothing"),
    Column("since", Float, nullable=False),
    Column("last", Float, nullable=False, doc="when something was last tried"),
    Column("why", Text, nullable=False),
    Column("down", Boolean, nullable=False, doc="nothing at all can be handed over"),
)

mailboxes = Table(
    "mailboxes",
    metadata,
    Column("source", String, primary_key=True, doc="kind and path"),
    Column("position", Text, nullable=False, doc="how far it was read; host.mailbox knows what it means"),
)

replies = Table(
    "replies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True, doc="sha256 of the mail"),
    Column("at", Float, nullable=False, doc="when it was read"),
    Column("message_id", String, nullable=False),
    Column("sender", String, nullable=False, doc="vouched for, in small letters"),
    Column("regression", Integer, nullable=False),
    Column("refused", Text, nullable=False, doc="JSON list: what was not taken, and why"),
)
Index("replies_message", replies.c.message_id)

commands = Table(
    "commands",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reply", Integer, nullable=False, doc="replies.id"),
    Column("at", Float, nullable=False),
    Column("regression", Integer, nullable=False),
    Column("sender", String, nullable=False),
    Column("verb", String, nullable=False, doc="core.replies.Verb"),
    Column("value", Text, nullable=False),
    Column("fate", String, nullable=False, doc="done, waiting or refused"),
    Column("said", Text, nullable=False, doc="why, or what a person did"),
)

answers = Table(
    "answers",
    metadata,
    Column("reply", Integer, primary_key=True, doc="replies.id: its sender is to have one answer"),
    Column("at", Float, nullable=True, doc="when that was written, or decided that there is none; null: it is due"),
    Column("message_id", String, nullable=True, doc="of the answer; null: there is none"),
)

no_cc = Table(
    "no_cc",
    metadata,
    Column("address", String, primary_key=True, doc="of somebody who wants no mails, in small letters"),
    Column("since", Float, nullable=False),
)

histories = Table(
    "histories",
    metadata,
    Column("branch", String, primary_key=True),
    Column("case", String, primary_key=True, doc="Case.id"),
    Column("data", Text, nullable=False, doc="the core.history.History as JSON"),
)

folded = Table(
    "folded",
    metadata,
    Column("branch", String, primary_key=True),
    Column("sha", String(40), primary_key=True, doc="a tip whose runs are in histories; empty: of all tips"),
    Column("run", Integer, nullable=False, doc="up to this runs.id"),
)
