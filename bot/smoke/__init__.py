"""One migration between two QEMU processes, and what was seen."""
