"""The shipped catalogue of known regressions: each fits the text that it was reported with, and says who and when."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import bot.pipeline
from bot.core.signature import signature
from bot.model import Signature
from bot.pipeline.catalogue import Known, catalogue

ROWS = yaml.safe_load((Path(bot.pipeline.__path__[0]) / "catalogue.yaml").read_text(encoding="utf-8"))
RELEASE = re.compile(r"\d+\.\d+")


@pytest.mark.parametrize(("known", "row"), list(zip(catalogue(), ROWS, strict=True)), ids=[row["id"] for row in ROWS])
def test_each_fits_its_own_text_and_can_be_looked_up(known: Known, row: dict[str, str]) -> None:
    found = signature(row["text"], None)
    assert found is not None
    assert known.fits(found), found
    assert known.culprits or known.fixes
    for commit in (*known.culprits, *known.fixes):
        assert re.fullmatch(r"[0-9a-f]{12}", commit.commit)
        assert RELEASE.fullmatch(commit.release)
        assert commit.subject.strip() == commit.subject != ""
    assert set(known.parts) <= {"class", "device", "detail", "signal"}
    assert "class" in known.parts


def test_ids_are_unique() -> None:
    ids = [known.id for known in catalogue()]
    assert len(set(ids)) == len(ids) >= 40


def test_what_differs_does_not_fit() -> None:
    known = {entry.id: entry for entry in catalogue()}
    assert known["rng-msix"].fits(Signature("pci-config", "virtio-rng", "i=0x34"))
    assert known["rng-msix"].fits(Signature("pci-config", "virtio-rng", "i=0x34", "SIGSEGV"))  # a signal is not asked
    assert not known["rng-msix"].fits(Signature("pci-config", "virtio-rng", "i=0x35"))
    assert not known["rng-msix"].fits(Signature("pci-config", "virtio-net", "i=0x34"))
    assert not known["rng-msix"].fits(Signature("virtio-ring", "virtio-rng", "i=0x34"))
    assert known["ram-block-prefix"].fits(Signature("ramblock", "ram", "pc.ram"))
    assert known["ram-block-prefix"].fits(Signature("ramblock", "pc.ram", "pc.ram"))
    assert not known["ram-block-prefix"].fits(Signature("ramblock", "ram", "vga.vram"))
    assert known["spapr-ov5"].fits(Signature("device", "spapr"))
    assert not known["spapr-ov5"].fits(Signature("device", "spapr", "Process table config unsupported by the host"))
