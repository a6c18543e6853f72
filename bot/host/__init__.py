"""Doors to the machine: processes, git, disk, locks."""
