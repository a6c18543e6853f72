"""Every link from one document to another, or to a place in one, leads there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]+))?\)")  # one with a scheme is not of this tree


def anchors(text: str) -> set[str]:
    """What a forge makes of the headings: lower case, only letters, digits, hyphens, and spaces as hyphens."""
    headings = re.findall(r"^#+ +(.+?) *$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[tuple[str, str]]:
    return _LINK.findall(_FENCED.sub("", text))


def test_links_are_found_and_headings_named() -> None:
    text = "# A `b.c`: d-e\n[x](docs/y.md#z) ![p](p.svg) [w](https://example.org/q.md)\n```\n# no [n](n.md)\n```\n"
    assert links(text) == [("docs/y.md", "z"), ("p.svg", "")]
    assert anchors(text) == {"a-bc-d-e"}
    assert len(DOCUMENTS) > 10


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for name, anchor in links(document.read_text()):
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(f"{name}#{anchor}" if anchor else name)
    assert not broken
