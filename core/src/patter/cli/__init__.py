"""The command ``patter``."""

from __future__ import annotations

from patter.cli.frame import main

__all__ = ["main"]
