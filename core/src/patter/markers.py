"""The pluggy markers; `hookimpl` is all that a plugin needs."""

from __future__ import annotations

import pluggy

PROJECT = "patter"

#: marks a function as one of Patter's hook specifications
hookspec = pluggy.HookspecMarker(PROJECT)
#: marks a function of a plugin as an implementation of a hook
hookimpl = pluggy.HookimplMarker(PROJECT)
