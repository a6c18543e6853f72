"""The import rule: data flows one way, so each stage can be read alone (docs/architecture.md, Layers)."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1] / "bot"
STAGES = {"watch", "build", "smoke", "bisect", "report"}
BASE = {"model", "errors", "progress"}
ALLOWED = {
    "model": set(),
    "errors": set(),
    "progress": set(),
    "data": {"errors"},
    "terminal": {"core", "progress"},
    "core": {"model"},
    "host": BASE | {"core"},
    "store": BASE | {"core", "host"},
    "config": BASE | {"core", "data"},
    "watch": BASE | {"core", "host", "store"},
    "build": BASE | {"core", "host"},
    "smoke": BASE | {"core", "host"},
    "bisect": BASE | {"core", "host", "store"},
    "report": BASE | {"core", "host", "store"},
    "worker": BASE | {"core", "host", "build", "smoke"},
    "workshop": BASE | {"core", "host", "build", "smoke", "worker"},
    "pipeline": BASE | STAGES | {"core", "host", "store", "worker", "workshop", "config", "data", "terminal"},
    "options": {"pipeline", "config", "core", "errors", "model"},
    "commands": {"options", "pipeline", "core", "errors", "model", "progress", "terminal"},
    "cli": {"commands", "options"},
    "__main__": {"cli", "core", "errors", "host"},
}
"""What each part of the program may import of it, besides itself."""


def part(file: Path) -> str:
    """`core` of bot/core/dag.py, `worker` of bot/worker.py."""
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    """Dotted names that a module imports, relative ones made absolute."""
    found: set[str] = set()
    package = ("bot", *file.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            found |= {f"{name}.{alias.name}" for alias in node.names}
    return found


MODULES = sorted(ROOT.rglob("*.py"))


def test_every_part_imports_only_what_is_below_it() -> None:
    wrong = []
    for file in MODULES:
        if file == ROOT / "__init__.py":
            continue
        mine = part(file)
        for name in imports(file):
            parts = name.split(".")
            if parts[0] == "bot" and len(parts) > 1 and parts[1] not in ALLOWED[mine] | {mine, "__version__"}:
                wrong.append(f"{file.relative_to(ROOT.parent)} ({mine}) imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_core_is_pure() -> None:
    """The standard library and numpy only, and of the library nothing that sees a clock, a process, files or chance."""
    impure = {"time", "datetime", "random", "secrets", "os", "pathlib", "subprocess", "socket", "threading", "asyncio"}
    wrong = []
    for file in sorted((ROOT / "core").rglob("*.py")):
        for name in imports(file):
            top = name.split(".")[0]
            if top != "bot" and ((top not in sys.stdlib_module_names and top != "numpy") or top in impure):
                wrong.append(f"{file.name} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_outside_things_have_one_door() -> None:
    """GitPython, the process door, SQLAlchemy and dask are each named in one place."""
    doors = {
        "git": {"host"}, "sqlalchemy": {"store"}, "subprocess": {"host", "smoke"}, "qemu": {"smoke"},
        "distributed": {"host"}, "dask": {"host"}, "smtplib": {"report"}, "requests": {"report"},
    }  # fmt: skip
    wrong = [
        f"{file.relative_to(ROOT.parent)} imports {name}"
        for file in MODULES
        for name in imports(file)
        if (top := name.split(".")[0]) in doors and part(file) not in doors[top]
    ]
    assert not wrong, "\n".join(wrong)


def test_what_git_is_told_is_said_in_host() -> None:
    """`Repository.git` runs any git command: whoever is not beside it asks for what it is for, by a name."""
    wrong = [
        f"{file.relative_to(ROOT.parent)}:{node.lineno} runs git"
        for file in MODULES
        if part(file) != "host"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "git"
    ]
    assert not wrong, "\n".join(wrong)


def test_secrets_are_read_for_sending_alone() -> None:
    """What builds, runs and searches cannot even name one; and one package talks to mail servers and URLs."""
    wrong = []
    for file in MODULES:
        name, found = file.relative_to(ROOT).as_posix(), imports(file)
        if any(i.startswith("bot.host.secret") for i in found) and name != "pipeline/sending.py":
            wrong.append(f"{name} reads secrets")
        withheld = {i for i in found if i.startswith("bot.host.withheld")} - {"bot.host.withheld.withhold"}
        if withheld and name != "host/secret.py":
            wrong.append(f"{name} reads what was withheld")
        if found & {"smtplib", "requests"} and not name.startswith("report/post/"):
            wrong.append(f"{name} talks to others")
    assert not wrong, "\n".join(wrong)
