"""The mails that follow a report: it is fixed, is missing in a stable branch, came again, is to be ignored.

They answer the report that went out, go to those who had it, and say what was run since.
"""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from bot.core.gate import Hold, Kind
from bot.core.lifecycle import Corrected, Cured, Expired, Record, Retracted, Standing, Surveyed, Wanted, Way
from bot.model import Commit, FirstBad, Report, ReportSettings, RevertOutcome, Sha, Tally
from bot.report import correction, figures, people, render, words
from bot.report.safe import address, header_text, line, parse_address
from bot.report.safe import message_id as safe_id


@dataclass(frozen=True, slots=True)
class Followed:
    """A regression with the follow-up that is wanted, and the report that it answers, as that went out; "": none did,
    and it stands alone.

    `commits` are those that the mail names: a fix, its picks, tips. `shipped` are the releases that have the culprit
    and not the fix; None: nobody looked.
    """

    report: Report
    record: Record
    wanted: Wanted
    original: str
    commits: Mapping[Sha, Commit]
    shipped: tuple[str, ...] | None = None

    def cite(self, sha: Sha) -> str:
        """`ab74e5431129 ("subject")`, as far as the commit is known."""
        commit = self.commits.get(sha)
        return words.cite(commit) if commit else words.cite_sha(self.report, sha)


def message_id(report: Report, wanted: Wanted, settings: ReportSettings) -> str:
    """The same for each rendering of a follow-up, and for no other."""
    return render.message_id(report, wanted.kind, settings, wanted.seq)


def mail(
    followed: Followed, *, settings: ReportSettings, templates: Path, date: datetime, holds: Sequence[Hold] = ()
) -> EmailMessage:
    """The follow-up. `date` has a time zone; `holds` is what keeps it back, for X-Migbot-Held."""
    report, wanted = followed.report, followed.wanted
    own = message_id(report, wanted, settings)
    heading = _answering(followed, settings) if followed.original else _alone(followed, settings)
    body = render.environment(templates).get_template(f"{wanted.kind}.txt.j2").render(context(followed, settings, own))
    ids = {"id": report.regression.id, "kind": wanted.kind, "seq": wanted.seq, "sig": report.regression.signature.key}
    return render.draft(heading, body, own=own, ids=ids, holds=holds, settings=settings, date=date)


def _answering(followed: Followed, settings: ReportSettings) -> render.Heading:
    """To those who had the report, in its thread."""
    was = email.message_from_bytes(followed.original.encode(), policy=email.policy.default)
    subject = f"Re: {str(was['Subject']).removeprefix('Re: ')}"
    if followed.wanted.kind in (Kind.RETRACT, Kind.CORRECTED):
        subject += " (retracted)"
    above = tuple(filter(None, map(safe_id, str(was["References"] or "").split())))
    to, cc = (tuple(was[name].addresses) if was[name] else () for name in ("To", "Cc"))
    who = _who(followed, to, cc, settings)
    return render.Heading(who, header_text(subject), str(was["Message-ID"]).strip(), above)


def _alone(followed: Followed, settings: ReportSettings) -> render.Heading:
    """To who maintains stable branches and migration, and who wrote the fix: nobody is blamed for what is mended."""
    near = people.recipients(followed.report, Kind.RANGE, settings)
    subject = f"[regression] {_title(followed)}, fixed in {_branch(followed.report)}"
    return render.Heading(_who(followed, near.to, near.cc, settings), header_text(subject))


def _branch(report: Report) -> str:
    return line(report.regression.branch or report.bad_name, 60)


def _missing(followed: Followed) -> list[str]:
    """The stable branches that fail and are to get the fix."""
    event = followed.wanted.event
    branches = event.branches if isinstance(event, Surveyed) else ()
    return [line(s.branch, 60) for s in branches if s.broken and not s.settled]


def _title(followed: Followed) -> str:
    """The report's subject; of what stable branches still have, with their names."""
    report, missing = followed.report, _missing(followed)
    named = replace(report, bad_name=", ".join(missing)) if missing else report
    return render.subject(named).removeprefix("[regression] ")


def _who(
    followed: Followed, to: tuple[Address, ...], cc: tuple[Address, ...], settings: ReportSettings
) -> people.Recipients:
    """Who had the report; besides them who wrote the fix, who maintains stable branches, who is asked again. Of the
    people in Cc no more than a report has."""
    event, cure = followed.wanted.event, followed.record.cure
    fixer = followed.commits.get(cure.commit) if cure else None
    author = address(fixer.author, fixer.email) if fixer and isinstance(event, Cured | Surveyed) else None
    added: tuple[Address, ...] = (author,) if author else ()
    if isinstance(event, Surveyed):
        stable = people.stable_lists(settings)
        to, cc = (stable, (*to, *cc)) if stable else (to, cc)
    owner = parse_address(event.owner) if isinstance(event, Expired) else None
    if owner:
        to, cc = (owner,), (*to, *cc)
    return people.few(people.only_wanted(to, (*added, *cc), settings), settings)


def context(followed: Followed, settings: ReportSettings, own_id: str) -> dict[str, Any]:
    """Everything the templates of follow-ups may name: what those of reports may, and what happened since."""
    report, record, event = followed.report, followed.record, followed.wanted.event
    cure = event if isinstance(event, Cured) else record.cure
    given: dict[str, Any] = {
        **render.context(report, settings, own_id),
        "id": report.regression.id,
        "branch": _branch(report),
        "title": _title(followed),
        "alone": not followed.original,
        "shipped": _shipped(followed.shipped, cure),
        "ran": "" if isinstance(event, Retracted) else _ran(report),
        "event": event,
        "fix": followed.cite(cure.commit) if cure else "",
        "shown": _shown(cure) if cure else "",
        "how_found": _FOUND[cure.way] if cure else "",
        "why": line(event.why, 2000) if isinstance(event, Retracted | Expired) else "",
        "tags": isinstance(report.finding, FirstBad) and not figures.exposed(report),
        "still": followed.cite(event.tip) if isinstance(event, Expired) and event.tip else "",
        "correction": correction.told(event, followed.cite) if isinstance(event, Corrected) else [],
        "missing": _missing(followed),
        "picked": [],
        "rows": [],
        "unpicked": [],
        "picks": [],
    }
    if isinstance(event, Surveyed):
        affected = [standing for standing in event.branches if standing.culprit is not None]
        given |= {
            "picked": [(line(s.branch, 60), followed.cite(s.fix or ""), _often(s.runs)) for s in affected if s.cured],
            "rows": _rows(report, cure, event.branches),
            "unpicked": [(line(s.branch, 60), _came(followed, s)) for s in affected if s.broken and s.fix is None],
            "picks": _commands(affected, cure),
        }
    return given


def _came(followed: Followed, standing: Standing) -> str:
    """What came of a pick onto a branch."""
    if not standing.before:
        return words.PICKS[standing.pick]
    return f"{words.PICKS[standing.pick]} after {', '.join(map(followed.cite, standing.before))}, of its series"


def _commands(standings: Iterable[Standing], cure: Cured | None) -> list[tuple[str, str]]:
    """What is to be picked, and onto which branches, as far as that was shown to help."""
    wanted: dict[str, list[str]] = {}
    for standing in standings:
        if standing.broken and standing.pick is RevertOutcome.OK and cure is not None:
            shas = " ".join(sha[:12] for sha in (*standing.before, cure.commit))
            wanted.setdefault(shas, []).append(line(standing.branch, 60))
    return [(shas, ", ".join(branches)) for shas, branches in wanted.items()]


_FOUND = {Way.NAMED: "Its message says so, and it was run", Way.SEARCHED: "Found by a bisection"}


def _often(tally: Tally | None) -> str:
    return f"{tally.bad} of {tally.n}" if tally else "not run"


def _shown(cure: Cured) -> str:
    """`Failed on its parent 10 of 10, with it 0 of 10, at the tip (0123456789ab) 0 of 10.`"""
    each = ", ".join(f"on {_parent(cure, tally)} {_often(tally)}" for tally in cure.parents)
    tip = "" if cure.tip.commit == cure.commit else f", at the tip ({cure.tip.commit[:12]}) {_often(cure.tip)}"
    return f"Runs that failed: {each}, with it {_often(cure.fix)}{tip}."


def _parent(cure: Cured, tally: Tally) -> str:
    return "its parent" if len(cure.parents) == 1 else f"its parent {tally.commit[:12]}"


def _ran(report: Report) -> str:
    """How all of it was run, and what was not."""
    how = f"Run with {report.accel.upper()}." if report.accel else ""
    left = f"Not run: {', '.join(map(line, report.not_run))}." if report.not_run else ""
    return " ".join(filter(None, (how, left)))


def _shipped(releases: tuple[str, ...] | None, cure: Cured | None) -> str:
    """What users have of it; nothing if nobody looked."""
    if releases is None:
        return ""
    if not releases:
        return "The culprit is in no release."
    first, last = line(releases[0], 40), line(releases[-1], 40)
    several = f"{first} and {last}" if len(releases) == 2 else f"{first} to {last} ({len(releases)} releases)"
    return f"Released without the fix: {first if len(releases) == 1 else several}. {_stays(cure)}"


def _stays(cure: Cured | None) -> str:
    """What becomes of guests that a release without the fix started."""
    left = cure.guests if cure else None
    if left is None:
        return "Guests that were started there may still fail to get to a QEMU that has it; that was not looked at."
    how = f"{left.runs.bad} of {left.runs.n} runs fail"
    stays = "get to the tip, which has it" if not left.runs.bad else "still fail to get to the tip, which has it"
    return f"Guests that {line(left.release, 40)} started {stays}: {how}."


def _rows(report: Report, cure: Cured | None, branches: Sequence[Standing]) -> list[str]:
    """The table of branches, the one that it was found on first."""
    head = ("branch", "has culprit", "has fix", "runs that failed")
    rows = [(_branch(report), "yes", "yes", _often(cure.tip) if cure else "")]
    for standing in branches:
        has, fixed = standing.culprit is not None, standing.fix is not None
        rows.append((line(standing.branch, 60), _yes(has), _yes(fixed) if has else "-", _often(standing.runs)))
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(3)]
    return [
        "  ".join((*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3])).rstrip()
        for row in (head, *rows)
    ]


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
