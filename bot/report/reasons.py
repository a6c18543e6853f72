"""What commits weighed before the first probe, and why: for a terminal and for a page."""

from __future__ import annotations

from dataclasses import dataclass

from bot.model import FirstBad, MergeConflict, Reason, Report, Suspects, Weight
from bot.report.safe import line
from bot.report.words import cite_sha

TIMES = "\N{MULTIPLICATION SIGN}"
_MAIN = 3  # reasons of a commit that was not found


@dataclass(frozen=True, slots=True)
class Weighed:
    """One commit as it is shown: its reasons as (factor, phrase)."""

    rank: str
    share: str
    commit: str
    found: bool
    reasons: tuple[tuple[str, str], ...]


def weighed(report: Report) -> tuple[Weighed, ...]:
    """The commits that a report explains, likeliest first: all reasons of those that were found, else the main ones."""
    finding = report.finding
    found = set(finding.commits) if isinstance(finding, Suspects) else set[str]()
    found |= {finding.commit} if isinstance(finding, FirstBad | MergeConflict) else set()
    return tuple(_weighed(report, weight, weight.commit in found) for weight in report.weights)


def _weighed(report: Report, weight: Weight, found: bool) -> Weighed:
    reasons = weight.reasons if found else weight.reasons[:_MAIN]
    shown = tuple((_factor(reason), line(reason.text)) for reason in reasons)
    return Weighed(f"{weight.rank:,}", percent(weight.share), cite_sha(report, weight.commit), found, shown)


def lines(report: Report) -> list[str]:
    """The same for a terminal; nothing if nothing was weighed."""
    said = weighed(report)
    if not said:
        return [f"before the first probe: {line(phrase)}" for phrase in report.evidence]
    commits = f"{report.range_size:,} commit{'' if report.range_size == 1 else 's'}"
    out = [f"before the first probe, of {commits} (place, share of the weight, what moved it):"]
    found = "suspect" if isinstance(report.finding, Suspects) else "found"
    for its in said:
        out.append(f"  {its.rank:>4}. {its.share:>6}  {its.commit}{f', {found}' if its.found else ''}")
        out += [f"        {factor:>5}  {text}" for factor, text in its.reasons]
    return out


def percent(share: float) -> str:
    """68 %, 0.41 %, 0.0036 %: a share of 1 with two digits."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"


def _factor(reason: Reason) -> str:
    factor = reason.factor
    return f"{TIMES}{factor:,.0f}" if factor >= 99.5 else f"{TIMES}{factor:.2g}"
