"""Weights before the first probe: which commits of a range look as if they could have brought a failure, and why.

Each piece of evidence has a name and a factor on the weight of a commit; the factors were learnt from culprits of
QEMU's history dated before 2020 (`core.learnt`, made by `python -m benchmarks.train`). Two kinds, weakest first:

- what any failure says: whether the patch has a part of the tested binary, how large it is, which parts of the tree it
  touches, which verbs its message has, how late in the range it is;
- what the failure's own words say: names, files and words of the message that stand in a commit's paths, changed lines,
  lines beside those, or message. A word counts the more, the fewer commits of the range have it.

Names in which the two end binaries differ come on top (`core.ends.sharpen`).

Paths only lower a weight, they never make it 0: what a build really reads is known from its recorded closure alone
(`core.closure`). A part of the weight (`FLOOR`) stays where it is without the failure's words, so that a misleading
word costs some probes and never the answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bot.core.learnt import FACTORS
from bot.core.patch import Patch, Words, hashed, parts, spelled, tokens, words
from bot.core.reach import in_emulator, reaches
from bot.model import Sha

FLOOR = 0.07  # share of the weight that the words of the failure do not move

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a failure before the first probe."""

    text: str = ""  # as it was printed, or quoted
    target: str | None = None  # what is tested: "x86_64-softmmu", "arm-linux-user"; None: not known


@dataclass(frozen=True, slots=True)
class Prior:
    """The weights of a range. `scores` are by commit and reason, as logs of factors."""

    commits: tuple[Sha, ...]
    shares: Floats
    reasons: tuple[str, ...]
    scores: Floats = field(repr=False)

    @property
    def weights(self) -> Mapping[Sha, float]:
        """What a search takes."""
        return dict(zip(self.commits, self.shares.tolist(), strict=True))


def weigh(patches: Mapping[Sha, Patch], failure: Failure, *, unread: Collection[Sha] = ()) -> Prior:
    """The weights of the commits of a range, oldest first, which sum to about 1.

    Commits that are `unread` by recorded builds (`core.closure`) cannot reach the binary: those weigh nothing, unless
    all of them are.
    """
    names, values = features(tuple(patches.values()), failure)
    factors = np.array([FACTORS.get(name, 0.0) for name in names])
    scores = values * factors
    worded = np.array([of_words(name) for name in names])
    can = np.array([sha not in unread for sha in patches], np.float64)
    can = can if can.any() else np.ones(len(can))
    shares = (1 - FLOOR) * _shares(scores.sum(axis=1), can) + FLOOR * _shares(scores[:, ~worded].sum(axis=1), can)
    rounded = np.array([float(f"{share:.3g}") for share in shares.tolist()])  # as a log has them: it replays exactly
    return Prior(tuple(patches), rounded, names, scores)


def _shares(scores: Floats, can: Floats) -> Floats:
    raised = np.exp(scores - scores.max()) * can
    found: Floats = raised / raised.sum()
    return found


def features(patches: Sequence[Patch], failure: Failure) -> tuple[tuple[str, ...], Floats]:
    """Names of the evidence, and its strength by commit and name: what factors are learnt for. Oldest commit first."""
    names, columns = _plain(patches, failure.target)
    more, found = Matches.of(patches, failure.text).features()
    return (*names, *more), np.hstack([columns, found])


# -- of any failure -------------------------------------------------------------------------------------------------

_SIZES = ("lines of C added", "lines of C removed", "names changed", "names beside", "length of the message")
_SQUARED = tuple(f"{name}, squared" for name in _SIZES[:3])
SIZES = (*_SIZES, *_SQUARED)
"""Evidence that is a count and not a yes or no: a commit's own says nothing, only how it is to the others'."""
_AREA = re.compile(r"(hw/[^/]+|target/[^/]+|[^/]+)(?=/)")
_AREA_NAMES = """
accel audio authz backends block bsd-user chardev cpus crypto disas docs dump fpu fsdev hw/9pfs hw/acpi hw/arm
hw/audio hw/block hw/char hw/core hw/cpu hw/display hw/dma hw/gpio hw/i2c hw/i386 hw/ide hw/input hw/intc hw/ipmi
hw/isa hw/mem hw/mips hw/misc hw/net hw/nvme hw/nvram hw/pci hw/pci- host hw/ppc hw/rdma hw/riscv hw/s390x hw/scsi
hw/sd hw/smbios hw/sparc hw/sparc64 hw/ssi hw/timer hw/tpm hw/usb hw/vfio hw/virtio hw/watchdog hw/xen hw/xtensa
include io job libdecnumber linux-user migration monitor nbd net pc-bios qapi qobject qom replay scripts scsi softmmu
stubs system target/alpha target/arm target/avr target/cris target/hexagon target/hppa target/i386 target/loongarch
target/m68k target/microblaze target/mips target/openrisc target/ppc target/riscv target/rx target/s390x target/sh4
target/sparc target/tricore target/xtensa tcg tests trace ui util
"""
_AREAS = frozenset(_AREA_NAMES.split())
_VERB_NAMES = """
add allow avoid change check clean convert correct create define delete disable do drop enable expose extend factor
fix handle implement improve introduce let make move only pass prevent provide reduce refactor remove rename replace
report return revert rework set simplify split support switch turn update use wire
"""
_VERBS = frozenset(_VERB_NAMES.split())
_BUILD = re.compile(r"[^/]+\Z|.*(meson|Makefile|Kconfig)")


def _plain(patches: Sequence[Patch], target: str | None) -> tuple[tuple[str, ...], Floats]:
    """What size, paths, message and place say without a symptom: most failures are seen soon after they came."""
    rows = [_reasons(patch, target) for patch in patches]
    names = sorted({name for row in rows for name in row})
    place = {name: i for i, name in enumerate(names)}
    found = np.zeros((len(patches), len(names)))
    for i, row in enumerate(rows):
        found[i, [place[name] for name in row]] = 1.0
    sizes = np.log1p([(*_code(p, target), len(p.changed), len(p.around), len(p.said)) for p in patches])
    late = np.arange(len(patches))[:, None] / len(patches)
    return (*names, *SIZES, LATE), np.hstack([found, sizes, sizes[:, : len(_SQUARED)] ** 2 / 8, late])


def _code(patch: Patch, target: str | None) -> tuple[int, int]:
    """Lines added to and removed from C files of the tested binary: what is in manuals and tests breaks nothing.

    Where it is not known what is tested, it may be those, and every file counts.
    """
    its = [
        (added, removed)
        for path, added, removed in zip(patch.paths, patch.added, patch.removed, strict=True)
        if target is None or (path.endswith(".c") and reaches(path, target))
    ]
    return sum(added for added, _ in its), sum(removed for _, removed in its)


def _reasons(patch: Patch, target: str | None) -> list[str]:
    names = [f"says {verb}" for verb in _verbs(patch)]
    if target is not None and not any(reaches(path, target) for path in patch.paths):
        return [*names, UNREACHED]
    inside = [path for path in patch.paths if in_emulator(path)]
    if inside:
        areas = {match[1] for path in inside if (match := _AREA.match(path))} & _AREAS
        names += [f"in {area}" for area in areas]
        names += ["build system"] if any(_BUILD.match(path) for path in inside) else []
        names += ["a header alone"] if all(path.endswith(".h") for path in inside) else []
        names += ["no source"] if not any(path.endswith((".c", ".h", ".inc")) for path in inside) else []
        names += ["one file"] if len(inside) == 1 else []
        names += ["over 10 files"] if len(inside) > 10 else []
    return names


_VERB_HASHES = {hashed(verb.encode()): verb for verb in _VERBS}


def _verbs(patch: Patch) -> list[str]:
    return [_VERB_HASHES[word] for word in patch.said.tolist() if word in _VERB_HASHES]


# -- words of the failure -------------------------------------------------------------------------------------------

UNREACHED = "paths that the binary has no part of"
LATE = "late in the range"
PLACES = ("paths", "changed", "around", "said")  # fields of a patch
_RAREST, _MORE = "rarest ", "more of "  # what names of such evidence begin with
_KINDS = ("name", "file", "word", "part")
_SOURCE = re.compile(rb".*\.(c|h|inc)\Z")
_NAME = re.compile(rb".*(_|-|\.|[0-9]|[a-z][A-Z])")
_OF_MANUALS = re.compile(r"qemu-system-x86_64: |Make sure that your current VM setup .*")
"""Words of a log that manuals have and no culprit: the program of every example, and advice behind the message."""


@dataclass(frozen=True, slots=True)
class Matches:
    """The words of a failure, and where commits have them. Arrays are by word, then by commit."""

    words: tuple[str, ...]  # as the failure has them
    kinds: npt.NDArray[np.int64]
    rarity: Floats  # log of how few commits of the whole range have it
    has: Mapping[str, npt.NDArray[np.bool_]]  # by place

    @classmethod
    def of(cls, patches: Sequence[Patch], text: str) -> Matches:
        """Every word of a failure's text in every place of a patch."""
        asked = _asked(text)
        wanted = np.array(list(asked), np.uint32)
        has = {place: _Index.of([_field(patch, place) for patch in patches]).find(wanted) for place in PLACES}
        anywhere = np.logical_or.reduce(list(has.values())).sum(axis=1)
        rarity = np.log(len(patches) / np.maximum(anywhere, 1)) * (anywhere > 0)
        kinds = np.array([_KINDS.index(kind) for kind, _ in asked.values()], np.int64)
        return cls(tuple(word for _, word in asked.values()), kinds, rarity, has)

    def __len__(self) -> int:
        """Commits of the range."""
        return int(next(iter(self.has.values())).shape[1])

    def only(self, words: Sequence[int], commit: int) -> Matches:
        """The same of some words and one commit."""
        chosen = np.array(words, np.int64)
        has = {place: held[chosen, commit : commit + 1] for place, held in self.has.items()}
        return Matches(tuple(self.words[i] for i in words), self.kinds[chosen], self.rarity[chosen], has)

    def features(self) -> tuple[tuple[str, ...], Floats]:
        """How rare the rarest words are that a commit shares with the failure, by kind of word and place."""
        names = [f"{kind} in {place}" for place in PLACES for kind in _KINDS]
        columns = [np.zeros(len(self)) for _ in range(2 * len(names))]
        for f, place in enumerate(PLACES):
            for k in range(len(_KINDS)):
                rows = self.has[place][self.kinds == k] * self.rarity[self.kinds == k, None]
                if len(rows):
                    best = rows.max(axis=0)
                    columns[2 * (f * len(_KINDS) + k)] = best
                    columns[2 * (f * len(_KINDS) + k) + 1] = np.sqrt(np.maximum(rows.sum(axis=0) - best, 0.0))
        shown = tuple(label for name in names for label in (f"{_RAREST}{name}", f"{_MORE}{name}"))
        more, found = _strongest(shown, np.column_stack(columns))
        return (*shown, *more), np.column_stack([*columns, found])


def of_words(name: str) -> bool:
    """Whether a piece of evidence is about words of the failure."""
    return name.startswith((_RAREST, _MORE))


def _strongest(shown: Sequence[str], columns: Floats) -> tuple[tuple[str, ...], Floats]:
    """The rarest of several kinds and places together: one strong match tells more than several weak ones."""

    def rarest(*words: str) -> Floats:
        chosen = [i for i, name in enumerate(shown) if name.startswith(_RAREST) and any(w in name for w in words)]
        return columns[:, chosen]

    every, named, changed = rarest("rarest"), rarest(" name ", " file ").max(axis=1), rarest(" changed").max(axis=1)
    best = every.max(axis=1)
    names = ("word", "word, squared", "name or file", "name or file, squared", "words of all places", "changed word")
    found = (best, best**2 / 8, named, named**2 / 8, every.sum(axis=1) / 4, changed)
    return tuple(f"{_RAREST}{name}" for name in names), np.column_stack(found)


def _asked(text: str) -> dict[int, tuple[str, str]]:
    """Hashes of a failure's words, each with its kind and the word: a name is more than its parts."""
    found: dict[int, tuple[str, str]] = {}
    late: dict[int, tuple[str, str]] = {}
    for token in tokens(_OF_MANUALS.sub("", text)):
        whole = hashed(spelled(token))
        kind = "file" if _SOURCE.match(token) else "name" if _NAME.match(token) else "word"
        if len(spelled(token)) >= 3:
            found.setdefault(whole, (kind, token.decode(errors="replace")))
        for part in parts(token):
            late.setdefault(hashed(part), ("part", part.decode(errors="replace")))
    return {**late, **found}


def _field(patch: Patch, place: str) -> Words:
    if place == "paths":
        return words("\n".join(patch.paths).encode())
    found: Words = getattr(patch, place)
    return found


@dataclass(frozen=True, slots=True)
class _Index:
    """The words of all commits in one array, with who has each."""

    words: Words
    owner: npt.NDArray[np.int64]
    n: int

    @classmethod
    def of(cls, rows: Sequence[Words]) -> _Index:
        return cls(np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(row) for row in rows]), len(rows))

    def find(self, wanted: Words) -> npt.NDArray[np.bool_]:
        """By word and commit: has it?"""
        if not len(wanted):
            return np.zeros((0, self.n), np.bool_)
        order = np.argsort(wanted)
        ranked = wanted[order]
        at = np.minimum(np.searchsorted(ranked, self.words), len(ranked) - 1)
        hit = ranked[at] == self.words
        found = np.zeros((len(wanted), self.n), np.bool_)
        found[order[at[hit]], self.owner[hit]] = True
        return found
