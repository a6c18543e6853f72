"""`bot`: a patch-aware bisection and regression bot for QEMU migration."""

__version__ = "0.1.0"
