#!/usr/bin/env python3
"""Check what the demo left: the culprit is the planted commit, and the mail about it can be sent and acted on.

Reads .demo/planted (written by history.py) and the files under .demo/out. Says each thing that is wrong and exits 1.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

SYMPTOM = 'Unknown ramblock "pc.ram"'
TOP = Path(__file__).resolve().parents[2]


def values(data: object, key: str) -> Iterator[object]:
    """Find every value of a key at any depth of parsed JSON."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(data, list):
        for item in data:
            yield from values(item, key)


def only(folder: Path, pattern: str) -> Path | str:
    """Find the one file of a kind, or say what is there instead."""
    found = sorted(folder.rglob(pattern))
    return found[0] if len(found) == 1 else f"{folder}: {len(found)} files {pattern}, expected one"


def check_json(path: Path, planted: Mapping[str, str]) -> Iterator[str]:
    """The machine-readable report names the planted commit, and no other, as culprit."""
    named = {json.dumps(value) for value in values(json.loads(path.read_text()), "culprit") if value}
    if not named:
        yield f"{path.name}: names no culprit"
    for value in sorted(named):
        if planted["culprit"] not in value:
            yield f"{path.name}: culprit is {value}, planted was {planted['culprit']} ({planted['subject']})"


def check_mail(path: Path, planted: Mapping[str, str]) -> Iterator[str]:
    """The mail parses, goes to somebody, says that it is automatic, and has the tag and the symptom."""
    mail = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    for defect in mail.defects:
        yield f"{path.name}: {defect!r}"
    if mail.get_content_type() != "text/plain":
        yield f"{path.name}: is {mail.get_content_type()}, not text/plain"
        return
    wanted = {
        "To": r"\S+@\S+",
        "Subject": r"\[regression\] \S",
        "Message-ID": r"<[^<>@\s]+@[^<>@\s]+>$",
        "Auto-Submitted": r"auto-generated$",
    }
    for name, pattern in wanted.items():
        if not re.search(pattern, str(mail[name] or "")):
            yield f"{path.name}: {name} is {mail[name]!r}"
    body = mail.get_content()
    tag = f'Fixes: {planted["culprit"][:12]} ("{planted["subject"]}")'
    tags = [line for line in body.splitlines() if line.startswith("Fixes:")]
    if tags != [tag]:
        yield f"{path.name}: has {tags}, expected one line {tag}"
    if SYMPTOM not in body:
        yield f"{path.name}: does not say {SYMPTOM}"


def check_log(path: Path, planted: Mapping[str, str], repository: Path) -> Iterator[str]:
    """The log, replayed by the real git, ends on the planted commit."""
    with tempfile.TemporaryDirectory() as folder:
        for command in (
            ["git", "clone", "--quiet", "--bare", "--shared", str(repository), folder],
            ["git", "-C", folder, "bisect", "replay", str(path.resolve())],
        ):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode:
                yield f"{path.name}: {' '.join(command[:5])}: {done.stderr.strip()}"
                return
        if f"{planted['culprit']} is the first bad commit" not in done.stdout:
            yield f"{path.name}: replayed by git it does not end on the planted commit: {done.stdout.strip()[:300]}"


def problems(out: Path, planted: Mapping[str, str], repository: Path) -> Iterator[str]:
    """Everything that is wrong with what the demo left."""
    reports = [path for path in sorted(out.rglob("*.json")) if any(values(json.loads(path.read_text()), "culprit"))]
    if not reports:
        yield f"{out}: no JSON that names a culprit"
    for path in reports:
        yield from check_json(path, planted)
    mail, log = only(out, "*.eml"), only(out, "*.log")
    yield from [mail] if isinstance(mail, str) else check_mail(mail, planted)
    yield from [log] if isinstance(log, str) else check_log(log, planted, repository)
    pages = [path for path in out.rglob("*.html") if planted["culprit"][:12] in path.read_text(errors="replace")]
    if not pages:
        yield f"{out}: no page about the culprit"


def main() -> int:
    """Print what is wrong, or one line that all is right."""
    parser = argparse.ArgumentParser(description="Check the culprit and the mail that `make demo` left.")
    parser.add_argument("folder", type=Path, nargs="?", default=TOP / ".demo", help="where the demo ran (.demo)")
    folder: Path = parser.parse_args().folder
    try:
        planted = json.loads((folder / "planted").read_text())
        wrong = list(problems(folder / "out", planted, folder / "upstream.git"))
    except (OSError, ValueError) as error:
        wrong = [str(error)]
    for line in wrong:
        print(f"check: {line}", file=sys.stderr)
    if wrong:
        return 1
    print(f"check: culprit {planted['culprit'][:12]} and the mail about it are right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
