"""In what the binaries of the two ends differ, the names of that in diffs, and the weights of commits that follow.

A name that only one end has came or went by some commit of the range, so one of those that have it in their changed
lines did it. Not every difference has to do with the failure: how near it is to what the failure names says how much
it counts (`Nearness`). One near difference and one commit with its name is worth more than all words of a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from bot.core.patch import NO_WORDS, Patch, Words, hashed, spelled, tokens
from bot.core.signature import device_name
from bot.model import Area, Difference, Sha, Signature, Traits

BELIEVED = 0.8  # share of the weight that goes to commits with a name in which the ends differ; not learnt: no data yet
_MOST = 3000  # names; a new release brings some hundreds
_LEAST = 3  # characters
_KIND = re.compile(r"(?:-[a-z0-9_]+-cpu|-machine|-device|-memory-region)$")  # what QOM adds to the name of a model
_INDEX = re.compile(r"\[[\d.]*\]|@.*$")
_VALUE = re.compile(r"[A-Za-z][\w.-]*$")
_PLAIN = {"true", "false", "none", "auto", "null", "yes", "off", "version", "size", "used", "total", "subsection"}

_SOURCE = re.compile(r".*\.(c|cc|h|inc|S|json|hx|py|sh)\Z|(pc-bios|roms|target|default-configs|configs)/")
_RULES = re.compile(r".*(\.mak|\.build|Kconfig|configure|Makefile[^/]*)\Z")
_APART = re.compile(r"(docs|tests|contrib|qga|python|\.\w+)/|.*\.(texi|rst|txt|md)\Z")

Floats = npt.NDArray[np.float64]


class Nearness(IntEnum):
    """How near a difference is to the failure. Each step counts half as much as the one before, all names together."""

    SAME = 0  # what the failure names, and of the kind that it is about
    NAMED = 1  # what the failure names
    SENT = 2  # in what is sent, or of the machine type
    THERE = 3  # in what is there but not sent as such
    KNOWN = 4  # in what a binary knows of devices that may not be there


_NEARNESS = {
    Area.MACHINE: Nearness.NAMED, Area.RAM: Nearness.SENT, Area.SENT_RAM: Nearness.SENT, Area.PCI: Nearness.SENT,
    Area.SENT: Nearness.SENT, Area.PROPERTIES: Nearness.THERE, Area.COMPAT: Nearness.THERE,
    Area.OBJECTS: Nearness.THERE, Area.KNOWN: Nearness.KNOWN,
}  # fmt: skip
"""By area, of a difference that the failure does not name. Of a machine type little is told, and all of it counts."""
_ABOUT = {
    "ramblock": {Area.RAM, Area.SENT_RAM}, "ram-size": {Area.RAM, Area.SENT_RAM}, "pci-config": {Area.PCI},
}  # fmt: skip
"""By class of failure: the areas that it is about; state that is sent for all others."""


def differences(good: Traits, bad: Traits) -> tuple[Difference, ...]:
    """All differences in areas that both ends have, by area, owner and name."""
    found: list[Difference] = []
    for area in Area:
        if area in good.areas and area in bad.areas:
            before, after = good.areas[area], bad.areas[area]
            for owner in sorted(before.keys() | after.keys()):
                found += _owner(area, owner, before.get(owner), after.get(owner))
    return tuple(found)


def _owner(
    area: Area, owner: str, before: Mapping[str, str] | None, after: Mapping[str, str] | None
) -> Iterator[Difference]:
    if before is None or after is None:
        yield Difference(area, owner, "", None if before is None else "", None if after is None else "")
        return
    both = before.keys() & after.keys() if area is Area.MACHINE else before.keys() | after.keys()  # QMP grows
    for name in sorted(both):
        if before.get(name) != after.get(name):
            yield Difference(area, owner, name, before.get(name), after.get(name))


def names(found: Iterable[Difference], signature: Signature | None) -> dict[str, Nearness]:
    """Names of the differences, as they would stand in a source, nearest first."""
    nearest: dict[str, Nearness] = {}
    for difference in found:
        nearness = near(difference, signature)
        for name in _names(difference):
            nearest[name] = min(nearness, nearest.get(name, nearness))
    return dict(sorted(nearest.items(), key=lambda item: item[1])[:_MOST])


def near(difference: Difference, signature: Signature | None) -> Nearness:
    """How near a difference is to the failure."""
    if signature is not None:
        named = {_spelled(word) for word in (signature.device, signature.detail) if word}
        owner = _spelled(difference.owner)
        if any(_spelled(difference.name) == word or _of(owner, word) for word in named):
            about = _ABOUT.get(signature.klass, {Area.SENT})
            return Nearness.SAME if difference.area in about else Nearness.NAMED
    return _NEARNESS[Area(difference.area)]


def _of(owner: str, word: str) -> bool:
    """Whether a device type is what the failure calls so: the section `virtio-rng` is one of `virtio-rng-pci`."""
    return owner == word or owner.startswith(f"{word}-") or owner.endswith(f"-{word}")


def _spelled(text: str) -> str:
    """A device, section or block as it is compared: without path and index."""
    return _INDEX.sub("", device_name(text).rpartition("/")[2]).lower().replace("_", "-")


def _names(difference: Difference) -> Iterator[str]:
    """The name, or the owner where the whole of it, or only its version or size, differs; and values that are names."""
    named = difference.name and difference.name not in _PLAIN
    texts = [difference.name] if named else [difference.owner]
    if difference.area == Area.PCI:
        texts = [difference.name.partition("+")[0], difference.owner]
    elif named and difference.area in (Area.MACHINE, Area.PROPERTIES, Area.COMPAT):
        texts += [value for value in (difference.before, difference.after) if value and _VALUE.match(value)]
    for text in texts:
        whole = _INDEX.sub("", device_name(text) if difference.area in _PATHS else text)
        whole = whole.rpartition("/")[2] if difference.area in _PATHS else whole
        for spelling in dict.fromkeys((whole, _KIND.sub("", whole))):
            if len(spelling) >= _LEAST and spelling.lower() not in _PLAIN and tokens(spelling):
                yield spelling


_PATHS = {Area.RAM, Area.SENT_RAM, Area.OBJECTS}  # whose names have the path of what they are of before them


# -- what follows for commits ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sharpened:
    """Weights, and the names that each commit has of those in which the ends differ, nearest and rarest first."""

    weights: Mapping[Sha, float]
    names: Mapping[Sha, tuple[str, ...]]


def sharpen(prior: Mapping[Sha, float], patches: Mapping[Sha, Patch], wanted: Mapping[str, Nearness]) -> Sharpened:
    """A prior in view of names in which the ends differ.

    Some difference is the one that fails, and some commit with its name made it: which difference is said by its
    nearness, which commit by the prior. That may all be wrong, so a part of the prior stays as it was. A name that half
    the range has says next to nothing, and a flood of far names shares what one near name has for itself.
    """
    shas = [sha for sha in prior if sha in patches]
    before = np.array([prior[sha] for sha in shas])
    rows = _holders([patches[sha].changed if _built(patches[sha]) else NO_WORDS for sha in shas], list(wanted))
    held = {name: row for name, row in zip(wanted, rows, strict=True) if before[row].sum() > 0}
    share = np.zeros(len(shas))
    steps: dict[Nearness, list[str]] = {}
    for name in held:
        steps.setdefault(wanted[name], []).append(name)
    for nearness, of_step in steps.items():
        for name in of_step:
            row = held[name]
            share[row] += 0.5**nearness / len(of_step) * before[row] / before[row].sum()
    if not share.any():
        return Sharpened(prior, {})
    total = before.sum()
    after = (1 - BELIEVED) * before + BELIEVED * total * share / share.sum()
    has: dict[Sha, list[str]] = {}
    for name in sorted(held, key=lambda name: (wanted[name], len(held[name]), name)):
        for i in held[name].tolist():
            has.setdefault(shas[i], []).append(name)
    weights = {**prior, **dict(zip(shas, after.tolist(), strict=True))}
    return Sharpened(weights, {sha: tuple(its) for sha, its in has.items()})


def _built(patch: Patch) -> bool:
    """Whether a commit changes anything that a binary is made of: a manual or a test may name what it will.

    Rules of the build that change together with manuals or tests are those of the manuals or tests.
    """
    inside = [path for path in patch.paths if not _APART.match(path)]
    rules = len(inside) == len(patch.paths) and any(_RULES.match(path) for path in inside)
    return rules or any(_SOURCE.match(path) for path in inside)


def _holders(changed: Sequence[Words], wanted: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    """For each name the places of those whose changed lines have all of its words."""
    asked = [{hashed(spelled(token)) for token in tokens(name)} for name in wanted]
    every = np.array(sorted(set().union(*asked)), np.uint32) if asked else np.zeros(0, np.uint32)
    by_word: dict[int, set[int]] = {}
    for i, words in enumerate(changed):
        for word in np.intersect1d(every, words, assume_unique=True).tolist():
            by_word.setdefault(word, set()).add(i)
    found = []
    for its in asked:
        holders = set.intersection(*(by_word.get(word, set()) for word in its)) if its else set()
        found.append(np.array(sorted(holders), np.int64))
    return found
