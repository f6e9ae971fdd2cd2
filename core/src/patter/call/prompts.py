"""What the model is told about its role and what the agent says by itself, as one call fills them (TN-18). Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patter.agent import PHONE_PREAMBLE

if TYPE_CHECKING:
    from patter.agent import Agent

#: a value that came with the call is cut to this, in characters
LONGEST_PARAMETER = 500

_BRACES = re.compile(r"\{([^{}\n]{1,64})\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Prompts:
    """The texts of one call. `unknown` are the placeholders that had no value and stand as they were."""

    system: str
    first_message: str
    idle_prompt: str
    unknown: tuple[str, ...]


def prompts_of(agent: Agent, parameters: Mapping[str, str]) -> Prompts:
    """The agent's texts with their placeholders filled; what came with the call wins over the agent's variables.

    Values are put in as they are: a placeholder in one is not filled again. Braces around what is no name, as in
    JSON, are left alone.
    """
    values = {**agent.variables, **{name: clean(value) for name, value in parameters.items()}}
    unknown: dict[str, None] = {}

    def value_of(found: re.Match[str]) -> str:
        name = found.group(1)
        if name in values:
            return values[name]
        if _NAME.fullmatch(name):
            unknown[name] = None
        return found.group()

    system = _BRACES.sub(value_of, agent.system_prompt)
    first_message = _BRACES.sub(value_of, agent.first_message)
    idle_prompt = _BRACES.sub(value_of, agent.idle_prompt)
    if not agent.disable_phone_preamble:
        system = f"{PHONE_PREAMBLE}\n\n{system}".rstrip()
    return Prompts(system, first_message, idle_prompt, tuple(unknown))


def clean(value: str) -> str:
    """A text from outside without control, format and other invisible characters, and not too long."""
    visible = (
        one
        for one in value[: 4 * LONGEST_PARAMETER]
        if unicodedata.category(one)[0] != "C" and one not in "\u2028\u2029"
    )
    return "".join(visible)[:LONGEST_PARAMETER]
