"""The version of the installed core, read from its metadata when it is first asked for."""

from __future__ import annotations

from patter.plugins._metadata import own_version

__version__ = own_version()
