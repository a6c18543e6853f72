"""Words of posted series: what was tested with patches that somebody sent, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass

from bot.model.report import Report
from bot.model.search import Commit
from bot.model.smoke import Case, Run, Sha


@dataclass(frozen=True, slots=True)
class Posted:
    """A series on a base. `commit` is the base with all patches, `subject` the cover letter's or the first patch's."""

    revision: str  # the base, as typed
    base: Sha
    commit: Sha
    subject: str
    patches: int

    @property
    def name(self) -> str:
        """`master + 2 patches`."""
        return f"{self.revision} + {self.patches} patch{'es' if self.patches != 1 else ''}"

    def __str__(self) -> str:
        return f'{self.name}: "{self.subject}" on {self.base[:12]}'


@dataclass(frozen=True, slots=True)
class Origin:
    """The mail that stands for a series: its cover letter, else its first patch.

    Fields are as they came, each on one line: whoever writes them into a mail makes them harmless.
    """

    message_id: str = ""
    sender: str = ""  # From
    to: str = ""  # To and Cc
    subject: str = ""  # decoded, with what stands in brackets
    version: int = 1


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """What a posted series breaks that works on its base: all that the answer to it may say.

    Each of `reports` is about one kind of failure, searched from the base to the series; what fails otherwise, and why
    it is not told, is in `untold`. `compared` are the last answers of the cases that were run on both, without logs;
    `others` those of the cases that were run with the series alone, and `expected` those that fail as is known.
    """

    id: str  # "s0001"
    posted: Posted
    origin: Origin
    base: Commit
    patches: tuple[Commit, ...]  # as they are applied
    reports: tuple[Report, ...]
    compared: tuple[Run, ...]
    not_run: tuple[str, ...]  # phrases: "KVM", "profile virtio"
    untold: tuple[str, ...] = ()
    sandboxed: bool = False  # all of it was built and run in a sandbox
    others: tuple[Run, ...] = ()
    expected: tuple[Case, ...] = ()

    def place(self, commit: Sha) -> int:
        """Which patch a commit is, from 1 on. Raises `ValueError` for one that is none of them."""
        return [patch.sha for patch in self.patches].index(commit) + 1
