"""The matrix of the greeting: its cells, which engines have them, and why the others have not.

An engine comes into the matrix with a module that plays its calls, like `openai_greetings` and `hosted_greetings`, and a
row in the table of ``test_protected_greeting.py``; what its record declares decides which cells it has.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from patter.plugins import PluginManager
from patter.records import RealtimeRecord

#: when the caller begins to speak, in ms after pickup; None: not before the greeting was heard
SPEAKS_AT_MS: Final = (0, 50, 250, 1000, None)

#: what the engine's server does, and the flag without which no server could
CELLS: Final = {
    "normal": "",
    "late": "ack",
    "reordered": "ack",
    "never": "ack",
    "ignored": "ack",
    "refused": "ack",
    "unspoken": "",
    "cancelled": "",
    # by the turn detection that the engine tells of, in every spelling
    "cancelled-event": "turn_events",
    "canceled-event": "turn_events",
    "canceled-alone": "turn_events",
    # an engine that cannot be asked greets once
    "cancelled-twice": "client_interrupt",
    "drop-before": "reconnect",
    "drop-during": "reconnect",
    "drop-after": "reconnect",
    "gone": "",
}


def skipped(plugin: str, engine: str, cell: str, *, adopted: bool) -> str:
    """Why an engine has no such cell; "" where it has."""
    record = PluginManager(allow=[plugin]).records_of(RealtimeRecord)[engine]
    flag = CELLS[cell]
    if flag and not getattr(record, flag):
        return f"{engine} does not declare {flag}"
    assert isinstance(record.factory, str)
    module, _, name = record.factory.partition(":")
    if adopted and not hasattr(getattr(import_module(module), name), "open_parked_connection"):
        return f"{engine} cannot be parked: no session is opened while it rings"
    return ""
