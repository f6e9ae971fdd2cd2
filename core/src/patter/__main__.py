"""``python -m patter`` is the same as the command ``patter``."""

from __future__ import annotations

from patter.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
