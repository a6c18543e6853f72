"""In what the binaries of the two ends differ, and the words of that which a commit's diff would have.

A name that only one end has must have come or gone by some commit of the range; if few commits have it in their
changed lines, one of them is it. Not every difference has to do with the failure: how near one is to it says how much
its names count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from bot.core.signature import device_name
from bot.model import Area, Difference, Signature, Traits

NEAR = 1.0  # what the failure names
_NEARNESS = {
    Area.MACHINE: 0.9, Area.RAM: 0.8, Area.SENT_RAM: 0.8, Area.PCI: 0.7, Area.SENT: 0.7,
    Area.PROPERTIES: 0.5, Area.COMPAT: 0.5, Area.OBJECTS: 0.4, Area.KNOWN: 0.3,
}  # fmt: skip
"""By area: how much a name counts whose difference the failure does not name."""
_MOST = 3000  # names; a new release brings some hundreds
_LEAST = 3  # characters
_WORD = re.compile(r"[A-Za-z_][\w.-]*")
_KIND = re.compile(r"(?:-[a-z0-9_]+-cpu|-machine|-device|-memory-region)$")  # what QOM adds to the name of a model
_INDEX = re.compile(r"\[[\d.]*\]|@.*$")
_VALUE = re.compile(r"[A-Za-z][\w.-]*$")
_PLAIN = {"true", "false", "none", "auto", "null", "yes", "off", "version", "size", "used", "total", "subsection"}


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


def names(found: Iterable[Difference], signature: Signature | None) -> dict[str, float]:
    """Words of the differences, as they would stand in a source, with how much each counts (at most 1), most first."""
    weights: dict[str, float] = {}
    for difference in found:
        nearness = near(difference, signature)
        for word in _words(difference):
            weights[word] = max(weights.get(word, 0.0), nearness)
    ranked = sorted(weights.items(), key=lambda item: -item[1])
    return dict(ranked[:_MOST])


def near(difference: Difference, signature: Signature | None) -> float:
    """How near a difference is to the failure: 1 if the failure names it, else by where it was seen."""
    if signature is not None:
        named = {_spelled(word) for word in (signature.device, signature.detail) if word}
        owner = _spelled(difference.owner)
        if any(_spelled(difference.name) == word or _of(owner, word) for word in named):
            return NEAR
    return _NEARNESS[Area(difference.area)]


def _of(owner: str, word: str) -> bool:
    """Whether a device type is what the failure calls so: the section `virtio-rng` is one of `virtio-rng-pci`."""
    return owner == word or owner.startswith(f"{word}-") or owner.endswith(f"-{word}")


def _spelled(text: str) -> str:
    """A device, section or block as it is compared: without path and index."""
    return _INDEX.sub("", device_name(text).rpartition("/")[2]).lower().replace("_", "-")


def _words(difference: Difference) -> Iterator[str]:
    """The name, or the owner where the whole of it, or only its version or size, differs; and values that are names."""
    named = difference.name and difference.name not in _PLAIN
    texts = [difference.name] if named else [difference.owner]
    if named and difference.area not in (Area.RAM, Area.SENT_RAM, Area.SENT, Area.KNOWN, Area.PCI):
        texts += [v for v in (difference.before, difference.after) if v and _VALUE.match(v)]
    if difference.area == Area.PCI:
        texts = [difference.name.partition("+")[0], difference.owner]
    for text in texts:
        for word in _WORD.findall(_INDEX.sub("", text).rpartition("/")[2]):
            for spelling in dict.fromkeys((word, _KIND.sub("", word))):
                if len(spelling) >= _LEAST and spelling.lower() not in _PLAIN:
                    yield spelling
