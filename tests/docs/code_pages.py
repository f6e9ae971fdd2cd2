"""The pages about core alone: Python names, errors, hooks, options."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from markup import code, first_paragraph, prose, table, type_name
from pydantic import BaseModel

import patter
import patter.testing
from patter import errors as error_module
from patter import hookspecs
from patter.agent import Agent
from patter.options import OptionRow, rows
from patter.phone_settings import PhoneSettings
from patter.plugins.hook_rules import ASYNC_HOOKS, TOTAL_FACTOR

# -- options


def options() -> str:
    """docs/reference/options.md."""
    return "\n\n".join(
        [
            "# Options",
            (
                "A value given in code wins over `patter.toml`, which wins over the environment, which wins over the "
                "default. `patter serve` and `patter call` read `./patter.toml` by themselves; in code it is "
                '`Patter(config="patter.toml")`, and `PATTER_CONFIG` names a file for both. An option that does not exist '
                "is an `UnknownOptionError`. Settings of providers are in [Providers](providers.md)."
            ),
            "## Agent",
            "Keywords of `patter.Agent(...)`, and keys of the table `[agent]`.",
            _options(rows(Agent, "agent")),
            "## Patter",
            "Keywords of `patter.Patter(...)`, and keys of the table `[phone]`.",
            _options(
                [
                    OptionRow(
                        "carrier",
                        "Any",
                        None,
                        "",
                        "PATTER_CARRIER",
                        "phone.carrier",
                        "The carrier, such as twilio.",
                    ),
                    *rows(PhoneSettings, "phone"),
                ]
            ),
            (
                "`Patter` takes these as well, in code alone: `plugins` (plugins to register, a sequence), `config` (the "
                "settings file), `environment` (the clock, randomness and ids; for tests), `manager` (a "
                "`PluginManager` made by hand), and the callbacks `on_call_start`, `on_call_end` and those of the "
                "[moments of a call](events.md#callbacks-of-a-phone)."
            ),
            "## A settings file",
            (
                "```toml\n"
                "[phone]\n"
                'carrier = "twilio"\n'
                'phone_number = "+15550001234"\n'
                'webhook_url = "https://voice.example.com"\n'
                "\n"
                "[agent]\n"
                'stt = "moonshine"\n'
                'llm = "openai/gpt-4.1-mini"\n'
                'tts = "espeak"\n'
                "\n"
                "[vad.silero]\n"
                "activation = 0.7\n"
                "```"
            ),
        ]
    )


def _options(options: Any) -> str:
    return table(
        ("option", "type", "default", "unit", "variable", "patter.toml", "what"),
        [
            (
                code(row.name),
                code(type_name(row.type)),
                code(_default(row.default)),
                row.unit,
                code(row.variable),
                code(row.key),
                row.help,
            )
            for row in options
        ],
    )


def _default(value: object) -> str:
    return repr(value)


# -- errors


def errors() -> str:
    """docs/reference/errors.md."""
    found = re.search(r"The tree::\n\n(.*?)\n\n", error_module.__doc__ or "", re.DOTALL)
    assert found is not None, "patter.errors draws no tree"
    classes = [one for one in vars(error_module).values() if inspect.isclass(one)]
    own = [one for one in classes if issubclass(one, error_module.PatterError)]
    return "\n\n".join(
        [
            "# Errors",
            (
                "Everything that Patter raises on purpose is a `patter.errors.PatterError`. Its `code` is stable and meant "
                "for programs, its text for people. No text holds a key, a token or a signature."
            ),
            "```text\n" + inspect.cleandoc("\n" + found[1]) + "\n```",
            table(
                ("error", "code", "meaning"),
                [(code(one.__name__), code(one.code), first_paragraph(one.__doc__)) for one in own],
            ),
        ]
    )


# -- hooks

_SECTION = re.compile(r"^# -- (\w+)", re.MULTILINE)


def hooks() -> str:
    """docs/reference/hooks.md."""
    parts = [
        "# Hooks",
        prose(hookspecs.__doc__).split("\n\n", 1)[1],
        (
            "An asynchronous hook calls its implementations one after the other, those of the call before those of its "
            "agent before those of the phone. One that takes longer than its budget is cancelled and counts as failed. "
            "Three failures in a row, or three synchronous evaluations of over 5 ms, mute an implementation for the rest "
            "of that call. No hook is called for a frame of audio or a token of text."
        ),
        "[Moments of a call](events.md) shows when each is called.",
    ]
    section = ""
    for name, spec in hook_functions():
        if _section_of(spec) != section:
            section = _section_of(spec)
            parts.append(f"## {section.capitalize()}")
        parts += [f"### {signature(name, spec)}", prose(spec.__doc__), _facts(name, spec)]
    return "\n\n".join(parts)


def hook_functions() -> Iterator[tuple[str, Any]]:
    """The hook specs in their order."""
    for name, spec in vars(hookspecs).items():
        if name.startswith("patter_"):
            yield name, spec


def signature(name: str, spec: Any) -> str:
    """A hook as a heading names it: with its arguments."""
    return f"{name}({', '.join(inspect.signature(spec).parameters)})"


def _section_of(spec: Any) -> str:
    source = inspect.getsource(hookspecs)
    before = source[: source.index(f"def {spec.__name__}(")]
    return _SECTION.findall(before)[-1]


def _facts(name: str, spec: Any) -> str:
    hint = inspect.signature(spec)
    settings = vars(spec)["patter_spec"]
    rule = ASYNC_HOOKS.get(name)
    facts = [
        (
            "arguments",
            ", ".join(f"`{one.name}: {type_name(str(one.annotation))}`" for one in hint.parameters.values()),
        ),
        ("result", code(type_name(str(hint.return_annotation)))),
        ("answers", "the first that is not None counts" if settings["firstresult"] else ""),
    ]
    if rule is None:
        facts.append(("called", "synchronously; plugins of the phone"))
    else:
        facts += [
            ("called", f"`def` or `async def`; plugins of {_scopes(name)}"),
            ("budget", f"{rule.budget_s:g} s each, {rule.budget_s * TOTAL_FACTOR:g} s for all"),
            ("failure", "logged, the next one goes on" if rule.policy == "log" else "raised"),
        ]
    return "\n".join(f"- {label}: {text}" for label, text in facts if text and text != "`None`")


def _scopes(name: str) -> str:
    # Before a call is accepted it has neither plugins nor an agent.
    phone_alone = ("patter_startup", "patter_shutdown", "patter_incoming_call")
    return "the phone" if name in phone_alone else "phone, agent and call"


# -- Python names


def api() -> str:
    """docs/reference/api.md."""
    parts = [
        "# Python names",
        (
            "What `patter` and `patter.testing` offer. Options of `Agent` and `Patter` are in [Options](options.md), the "
            "errors in [Errors](errors.md), what a provider implements in [Interfaces](interfaces.md)."
        ),
        "## patter",
    ]
    parts += _names(patter)
    parts += ["## patter.testing", first_paragraph(patter.testing.__doc__)]
    parts += _names(patter.testing)
    return "\n\n".join(parts)


def _names(module: ModuleType) -> Iterator[str]:
    for name in module.__all__:
        if name == "__version__":
            yield "### `__version__`\n\nThe version of the installed core."
            continue
        value = getattr(module, name)
        yield f"### `{name}`\n\n{described(value)}"


def described(value: Any) -> str:
    """What a class or function is, from its docstrings."""
    if not inspect.isclass(value):
        doc = value.__doc__ if inspect.isroutine(value) else ""
        return (
            prose(doc) or "Marks a function of a plugin as the implementation of a hook: `@patter.hookimpl`."
        )
    members = [
        f"- `{heading(name, member)}`: {first_paragraph(member.__doc__)}" for name, member in _members(value)
    ]
    fields = (
        ", ".join(code(field.name) for field in dataclasses.fields(value))
        if dataclasses.is_dataclass(value)
        else ""
    )
    parts = (prose(value.__doc__), fields and f"Fields: {fields}.", "\n".join(members))
    return "\n\n".join(part for part in parts if part)


def _members(owner: type) -> Iterator[tuple[str, Any]]:
    """The documented methods and properties that a class defines itself."""
    for name, member in vars(owner).items():
        plain = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        is_member = inspect.isfunction(plain) or isinstance(plain, property)
        if not name.startswith("_") and is_member and plain.__doc__:
            if hasattr(BaseModel, name):
                continue
            yield name, plain


def _shown(default: object) -> str:
    return default.__name__ if inspect.isclass(default) else repr(default)


def heading(name: str, member: Any) -> str:
    """A function, method or property as it is called."""
    if isinstance(member, property):
        return name
    parameters = [
        one for one in inspect.signature(member).parameters.values() if one.name not in ("self", "cls")
    ]
    shown = [
        f"{'*' * (one.kind is one.VAR_POSITIONAL)}{'**' * (one.kind is one.VAR_KEYWORD)}{one.name}"
        + ("" if one.default is one.empty else f"={_shown(one.default)}")
        for one in parameters
    ]
    prefix = "await " if inspect.iscoroutinefunction(member) else ""
    return f"{prefix}{name}({', '.join(shown)})"
