"""The tables. Version 1, in `PRAGMA user_version`; a file of another version is refused, never guessed at."""

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text

VERSION = 1

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
)
Index("runs_sha_case", runs.c.sha, runs.c.case)
Index("runs_case", runs.c.case)

regressions = Table(
    "regressions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("opened", Float, nullable=False),
    Column("state", String, nullable=False, doc="open, or closed"),
    Column("signature", String(8), nullable=False),
    Column("branch", String, nullable=False),
    Column("data", Text, nullable=False, doc="the Regression as JSON"),
    Column("finding", String, nullable=True, doc="name of the Finding's class; null while the search is not done"),
    Column("report", String(64), nullable=True, doc="blob: the Report as JSON"),
    Column("log", String(64), nullable=True, doc="blob: the search, for `git bisect replay` and `bot replay`"),
)

reports = Table(
    "reports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("regression", Integer, nullable=False),
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
