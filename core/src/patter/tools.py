"""Tools: functions that the model may call while it talks (TL-01).

    @tool
    async def opening_hours(day: str) -> str:
        '''Opening hours of the shop.

        Args:
            day: a weekday in English.
        '''
        return await look_up(day)

A handler is ``async def``, a plain function (run in a thread), or an async generator that yields
``{"progress": ...}`` as often as it likes and at last ``{"result": ...}`` (TL-05). A parameter named `call` is given
the call and is hidden from the model.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, overload

from patter.docstrings import read_docstring
from patter.errors import ConfigError, InputError
from patter.outbound_addresses import check_allow_hosts, check_url
from patter.providers.llm import ToolSpec
from patter.tool_schema import CALL_PARAMETER, SignatureSchema, check_arguments, check_schema

Handler = Callable[..., Any]
#: every call of a tool, its retries included, ends within this, in s (TL-09)
DEFAULT_TIMEOUT_S: Final = 15.0

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
#: longest description, in characters
LONGEST_DESCRIPTION: Final = 4096
#: a reassurance is spoken when a tool takes longer than this, in ms (RT-21)
REASSURE_AFTER_MS: Final = 1500


@dataclass(frozen=True, slots=True)
class Reassurance:
    """What a realtime agent says once while a tool keeps the caller waiting longer than `after_ms`."""

    message: str
    after_ms: float = REASSURE_AFTER_MS


class Tool:
    """A function or a URL with what a model must know to call it.

    A webhook is sent a POST for each attempt, a JSON object with `tool`, `arguments`, `call_id`, `caller`, `callee` and
    `attempt`, and answers within 10 s with at most 1 MiB of text or JSON, which is the result. Its address must be a
    public one and is checked again at each connection; redirects are not followed.

    Args:
        name: 1 to 64 letters, digits, underscores and dashes.
        description: what it does and when to use it, in words for the model.
        parameters: a JSON schema of type object; None makes one from the handler's type hints and docstring.
        handler: called with the arguments by name; None with a `webhook_url`.
        webhook_url: http or https address that runs the tool in place of a handler.
        strict: ask the model's vendor to keep to the schema exactly; the schema must follow the strict rules.
        reassurance: what a realtime agent says while the caller waits: a text, a `Reassurance`, or a mapping with
            `message` and `after_ms`.
        timeout_s: every call, its retries included, ends within this, in s.
        allow_hosts: hosts of the webhook that are reached although their address is not public.

    Raises:
        ConfigError: a name, schema, address or time limit that cannot work.
    """

    __slots__ = (
        "__weakref__",
        "_signature",
        "allow_hosts",
        "description",
        "handler",
        "name",
        "parameters",
        "reassurance",
        "strict",
        "timeout_s",
        "wants_call",
        "webhook_url",
    )

    def __init__(  # noqa: PLR0913 - each is one property of the tool
        self,
        name: str,
        description: str,
        parameters: Mapping[str, Any] | None = None,
        handler: Handler | None = None,
        *,
        webhook_url: str | None = None,
        strict: bool = False,
        reassurance: str | Reassurance | Mapping[str, Any] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        allow_hosts: Iterable[str] = (),
    ) -> None:
        _check_texts(name, description)
        if (handler is None) == (webhook_url is None):
            raise ConfigError(f"tool {name!r}: give it either a handler or a webhook_url")
        if handler is not None:
            _check_handler(name, handler)
        _check_timeout(name, timeout_s)
        self.name = name
        self.description = description
        self.handler = handler
        self.webhook_url = webhook_url
        self.allow_hosts = _checked_address(name, webhook_url, allow_hosts)
        self.strict = strict
        self.reassurance = _read_reassurance(name, reassurance)
        self.timeout_s = float(timeout_s)
        self.wants_call = handler is not None and CALL_PARAMETER in inspect.signature(handler).parameters
        self._signature: SignatureSchema | None = None
        if parameters is None:
            if handler is None:
                raise ConfigError(f"tool {name!r}: a webhook needs parameters, a JSON schema of type object")
            self._signature = SignatureSchema(name, handler, strict=strict)
            parameters = self._signature.schema
        check_schema(name, parameters, strict=strict)
        self.parameters = parameters

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the handler as the function it was, for code and tests that want to."""
        if self.handler is None:
            raise TypeError(f"tool {self.name!r} is a webhook and cannot be called as a function")
        return self.handler(*args, **kwargs)

    @property
    def spec(self) -> ToolSpec:
        """The tool as shown to the model."""
        return ToolSpec(self.name, self.description, self.parameters, self.strict)

    def read_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A model's arguments as values for the handler.

        Raises `ValueError` with what is wrong, in words for the model.
        """
        if self._signature is not None:
            return self._signature.read(arguments)
        check_arguments(self.parameters, arguments)
        return dict(arguments)


def _check_texts(name: Any, description: Any) -> None:
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigError(f"tool {name!r}: a name has 1 to 64 letters, digits, underscores and dashes")
    if not isinstance(description, str) or len(description) > LONGEST_DESCRIPTION:
        raise ConfigError(
            f"tool {name!r}: description must be a text of at most {LONGEST_DESCRIPTION} characters"
        )


def _check_timeout(name: str, timeout_s: Any) -> None:
    number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if not number or not 0 < timeout_s < math.inf:
        raise ConfigError(f"tool {name!r}: timeout_s must be a positive number of seconds")


def _check_handler(name: str, handler: Any) -> None:
    if not callable(handler):
        raise ConfigError(f"tool {name!r}: its handler must be a function, not {type(handler).__name__}")
    if inspect.isgeneratorfunction(handler):
        raise ConfigError(f"tool {name!r}: a handler that yields must be an async generator ('async def')")
    if inspect.isclass(handler):
        raise ConfigError(f"tool {name!r}: its handler must be a function, not a class")


def _checked_address(name: str, webhook_url: str | None, allow_hosts: Iterable[str]) -> tuple[str, ...]:
    """The allow-list, once it and the address are found to be usable."""
    try:
        hosts = check_allow_hosts(f"tool {name!r}", allow_hosts)
        if webhook_url is not None:
            check_url(webhook_url, hosts)
    except InputError as error:
        where = "" if str(error).startswith("tool ") else f"tool {name!r}: webhook_url: "
        raise ConfigError(f"{where}{error}") from None
    if hosts and webhook_url is None:
        raise ConfigError(f"tool {name!r}: allow_hosts is for a webhook_url; a handler connects as it likes")
    return hosts


def _read_reassurance(name: str, given: Any) -> Reassurance | None:
    if given is None or isinstance(given, Reassurance):
        read = given
    elif isinstance(given, str):
        read = Reassurance(given)
    elif isinstance(given, Mapping) and "message" in given and set(given) <= {"message", "after_ms"}:
        read = Reassurance(**given)
    else:
        raise ConfigError(f"tool {name!r}: reassurance must be a text, or have message and after_ms")
    if read is None:
        return None
    message: Any = read.message
    if not isinstance(message, str) or not message.strip():
        raise ConfigError(f"tool {name!r}: reassurance needs a message to say")
    after_ms: Any = read.after_ms
    number = isinstance(after_ms, int | float) and not isinstance(after_ms, bool)
    if not number or not 0 <= after_ms < math.inf:
        raise ConfigError(f"tool {name!r}: reassurance: after_ms must be a number of milliseconds")
    return read


@overload
def tool(function: Handler, /) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    strict: bool = False,
    reassurance: str | Reassurance | Mapping[str, Any] | None = None,
) -> Callable[[Handler], Tool]: ...


def tool(
    function: Handler | None = None,
    /,
    *,
    name: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    strict: bool = False,
    reassurance: str | Reassurance | Mapping[str, Any] | None = None,
) -> Tool | Callable[[Handler], Tool]:
    """Make a tool of a function; `name` is the function's own unless given. See `Tool` for the rest.

    Its description is the docstring up to the first section; the section on arguments ("Args:" or ":param x:")
    describes the parameters.
    """

    def make(handler: Handler) -> Tool:
        tool_name = name if name is not None else getattr(handler, "__name__", "")
        description = read_docstring(inspect.getdoc(handler)).description
        return Tool(
            tool_name,
            description,
            None,
            handler,
            strict=strict,
            reassurance=reassurance,
            timeout_s=timeout_s,
        )

    return make if function is None else make(function)
