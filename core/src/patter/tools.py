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
from collections.abc import Callable, Mapping
from typing import Any, Final, overload

from patter.docstrings import read_docstring
from patter.errors import ConfigError
from patter.providers.llm import ToolSpec
from patter.tool_schema import CALL_PARAMETER, SignatureSchema, check_arguments, check_schema

Handler = Callable[..., Any]
#: every call of a tool, its retries included, ends within this, in s (TL-09)
DEFAULT_TIMEOUT_S: Final = 15.0

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_LONGEST_DESCRIPTION: Final = 4096


class Tool:
    """A function with what a model must know to call it.

    Args:
        name: 1 to 64 letters, digits, underscores and dashes.
        description: what it does and when to use it, in words for the model.
        parameters: a JSON schema of type object; None makes one from the handler's type hints and docstring.
        handler: called with the arguments by name.
        strict: ask the model's vendor to keep to the schema exactly; the schema must follow the strict rules.
        timeout_s: every call, its retries included, ends within this, in s.

    Raises:
        ConfigError: a name, schema or time limit that cannot work.
    """

    __slots__ = (
        "_signature",
        "description",
        "handler",
        "name",
        "parameters",
        "strict",
        "timeout_s",
        "wants_call",
    )

    def __init__(
        self,
        name: str,
        description: str,
        parameters: Mapping[str, Any] | None,
        handler: Handler,
        *,
        strict: bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        _check_texts(name, description)
        _check_handler(name, handler)
        _check_timeout(name, timeout_s)
        self.name = name
        self.description = description
        self.handler = handler
        self.strict = strict
        self.timeout_s = float(timeout_s)
        self.wants_call = CALL_PARAMETER in inspect.signature(handler).parameters
        self._signature: SignatureSchema | None = None
        if parameters is None:
            self._signature = SignatureSchema(name, handler, strict=strict)
            parameters = self._signature.schema
        check_schema(name, parameters, strict=strict)
        self.parameters = parameters

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the handler as the function it was, for code and tests that want to."""
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
    if not isinstance(description, str) or len(description) > _LONGEST_DESCRIPTION:
        raise ConfigError(
            f"tool {name!r}: description must be a text of at most {_LONGEST_DESCRIPTION} characters"
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


@overload
def tool(function: Handler, /) -> Tool: ...


@overload
def tool(
    *, name: str | None = None, timeout_s: float = DEFAULT_TIMEOUT_S, strict: bool = False
) -> Callable[[Handler], Tool]: ...


def tool(
    function: Handler | None = None,
    /,
    *,
    name: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    strict: bool = False,
) -> Tool | Callable[[Handler], Tool]:
    """Make a tool of a function; `name` is the function's own unless given. See `Tool` for the rest.

    Its description is the docstring up to the first section; the section on arguments ("Args:" or ":param x:")
    describes the parameters.
    """

    def make(handler: Handler) -> Tool:
        tool_name = name if name is not None else getattr(handler, "__name__", "")
        description = read_docstring(inspect.getdoc(handler)).description
        return Tool(tool_name, description, None, handler, strict=strict, timeout_s=timeout_s)

    return make if function is None else make(function)
