"""Precopy with memory on channels of its own (4.0; x-multifd from 2.11 to 3.1)."""

from __future__ import annotations

from bot.smoke.methods.precopy import Precopy


class Multifd(Precopy):
    name = "multifd"
    capabilities = (("multifd", "x-multifd"),)
