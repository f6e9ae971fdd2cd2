"""JSON schemas of tools: made from a function's signature, checked, and held against a model's arguments.

pydantic does the typing work; it is imported when the first tool is made, not with this module.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from patter.docstrings import read_docstring
from patter.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

#: a handler that names a parameter so is given the call; the model never sees it
CALL_PARAMETER: Final = "call"

_TYPES: Final = frozenset(("object", "array", "string", "integer", "number", "boolean", "null"))
_DEEPEST: Final = 20
#: a part of a schema is quoted in an error up to this, in characters
_LONGEST_QUOTE: Final = 500
#: keywords that a strict schema may not hold (OpenAI, structured outputs)
_NOT_STRICT: Final = (
    "default",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "unevaluatedProperties",
    "prefixItems",
    "unevaluatedItems",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
)
#: what says the type of a value; a strict schema leaves none without one
_TYPED: Final = frozenset(("type", "$ref", "anyOf", "enum", "const"))


class SignatureSchema:
    """The parameters of a handler as a JSON schema, and the way back: from a model's arguments to Python values.

    Raises `ConfigError` for a parameter without a usable type.
    """

    def __init__(self, name: str, handler: Callable[..., Any], *, strict: bool) -> None:
        from pydantic import ConfigDict, create_model
        from pydantic.errors import PydanticUserError

        fields: dict[str, Any] = {
            parameter.name: (hint, _field(parameter, text))
            for parameter, hint, text in _parameters(name, handler)
        }
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
        try:
            self._model: type[BaseModel] = create_model(f"{name}_arguments", __config__=config, **fields)
            schema = self._model.model_json_schema()
        except (PydanticUserError, TypeError, ValueError, NameError) as error:
            raise ConfigError(f"tool {name!r}: a parameter has a type without a JSON form: {error}") from None
        self.schema: dict[str, Any] = _without_titles(schema)
        self.schema.pop("description", None)
        if strict:
            _close_objects(self.schema)

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The values for the handler; raises `ValueError` with what is wrong, in words for the model."""
        from pydantic import ValidationError

        try:
            values = self._model.model_validate(dict(arguments))
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)[:5]
            raise ValueError(
                "; ".join(
                    f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in problems
                )
            ) from None
        return {name: getattr(values, name) for name in type(values).model_fields}


def _parameters(name: str, handler: Callable[..., Any]) -> list[tuple[inspect.Parameter, Any, str]]:
    """Parameter, type and description, in the order of the signature, without `call`."""
    texts = read_docstring(inspect.getdoc(handler)).arguments
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        raise ConfigError(f"tool {name!r}: its handler has no signature to make a schema of") from None
    wanted = [one for one in signature.parameters.values() if one.name != CALL_PARAMETER]
    for parameter in wanted:
        _check_parameter(name, parameter)
    hints = _hints(name, handler, [one.name for one in wanted])
    return [(one, hints[one.name], texts.get(one.name, "")) for one in wanted]


def _check_parameter(name: str, parameter: inspect.Parameter) -> None:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ConfigError(f"tool {name!r}: a model cannot fill {parameter}; name each parameter")
    if parameter.annotation is parameter.empty:
        raise ConfigError(f"tool {name!r}: parameter {parameter.name!r} needs a type hint")
    if parameter.name.startswith(("_", "model_")):
        raise ConfigError(f"tool {name!r}: parameter {parameter.name!r} may not begin with '_' or 'model_'")


class _Annotated:
    """Some of the annotations of a function; the others (`call`, the result) may name types that are not imported."""

    def __init__(self, annotations: dict[str, Any]) -> None:
        self.__annotations__ = annotations


def _hints(name: str, handler: Callable[..., Any], wanted: list[str]) -> dict[str, Any]:
    function: Any = inspect.unwrap(handler)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    if not inspect.isroutine(function):
        function = type(function).__call__
    annotations = {one: function.__annotations__[one] for one in wanted}
    module = getattr(function, "__globals__", {})
    try:
        return typing.get_type_hints(_Annotated(annotations), globalns=module, include_extras=True)
    except NameError as error:
        raise ConfigError(
            f"tool {name!r}: cannot resolve a type hint ({error}); define the type at the top level of its module"
        ) from None


def _field(parameter: inspect.Parameter, text: str) -> Any:
    from pydantic import Field

    default = ... if parameter.default is parameter.empty else parameter.default
    return Field(default, description=text) if text else Field(default)


def _without_titles(schema: Any) -> Any:
    """The schema without pydantic's titles, which cost tokens and say nothing."""
    if isinstance(schema, list):
        return [_without_titles(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    named = ("properties", "$defs")
    return {
        key: {name: _without_titles(one) for name, one in value.items()}
        if key in named
        else _without_titles(value)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }


def _close_objects(schema: Any) -> None:
    """Forbid unknown keys in every object with known ones, which a strict schema must."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            _close_objects(value)
    elif isinstance(schema, list):
        for value in schema:
            _close_objects(value)


def check_schema(name: str, schema: Any, *, strict: bool) -> None:
    """Refuse what is no JSON schema of an object, or breaks the strict rules. Raises `ConfigError`."""
    import json

    try:
        json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"tool {name!r}: parameters: not JSON: {error}") from None
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        raise ConfigError(f"tool {name!r}: parameters: must be a JSON schema of type object")
    if strict and "anyOf" in schema:
        raise ConfigError(f"tool {name!r}: parameters: a strict schema has no 'anyOf' at its top")
    _SchemaCheck(name, schema, strict=strict).check(schema, "parameters", 0)


class _SchemaCheck:
    def __init__(self, name: str, root: Mapping[str, Any], *, strict: bool) -> None:
        self._name = name
        self._strict = strict
        definitions = root.get("$defs")
        self._definitions = definitions if isinstance(definitions, Mapping) else {}

    def _fail(self, where: str, problem: str) -> NoReturn:
        raise ConfigError(f"tool {self._name!r}: {where[:_LONGEST_QUOTE]}: {problem[:_LONGEST_QUOTE]}")

    def check(self, schema: Any, where: str, depth: int) -> None:
        if not isinstance(schema, Mapping):
            self._fail(where, "a schema must be an object")
        if depth > _DEEPEST:
            self._fail(where, f"nested deeper than {_DEEPEST}")
        self._check_type(schema, where)
        self._check_reference(schema, where)
        if schema.get("type") == "object" or "properties" in schema:
            self._check_object(schema, where)
        if self._strict:
            self._check_strict(schema, where)
        self._check_children(schema, where, depth)

    def _check_strict(self, schema: Mapping[str, Any], where: str) -> None:
        for keyword in _NOT_STRICT:
            if keyword in schema:
                self._fail(where, f"a strict schema has no {keyword!r}")
        if not _TYPED & schema.keys():
            self._fail(where, "a strict schema says the type of each value")
        if "array" in _types(schema) and not isinstance(schema.get("items"), Mapping):
            self._fail(where, "a strict schema says what an array holds")

    def _check_type(self, schema: Mapping[str, Any], where: str) -> None:
        given = schema.get("type", [])
        types = [given] if isinstance(given, str) else given
        if not isinstance(types, list) or not all(isinstance(one, str) and one in _TYPES for one in types):
            self._fail(where, f"type {given!r} is none of {', '.join(sorted(_TYPES))}")
        if "enum" in schema and (not isinstance(schema["enum"], list) or not schema["enum"]):
            self._fail(where, "enum must be a list of values")

    def _check_reference(self, schema: Mapping[str, Any], where: str) -> None:
        reference = schema.get("$ref")
        if reference is None:
            return
        name = str(reference).removeprefix("#/$defs/")
        if name not in self._definitions:
            self._fail(where, f"{reference!r} is not in $defs")

    def _check_object(self, schema: Mapping[str, Any], where: str) -> None:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, Mapping):
            self._fail(where, "properties must be an object")
        if not isinstance(required, list) or not all(isinstance(one, str) for one in required):
            self._fail(where, "required must be a list of names")
        unknown = [one for one in required if one not in properties]
        if unknown:
            self._fail(where, f"required names {unknown[0]!r}, which is no property")
        if not self._strict:
            return
        if schema.get("additionalProperties") is not False:
            self._fail(
                where,
                "a strict schema needs additionalProperties: false in each object, and no free-form one",
            )
        optional = [one for one in properties if one not in required]
        if optional:
            self._fail(
                where,
                f"a strict schema requires every property; make {optional[0]!r} nullable, without a default",
            )

    def _check_children(self, schema: Mapping[str, Any], where: str, depth: int) -> None:
        for group in ("properties", "$defs"):
            named = schema.get(group, {})
            if not isinstance(named, Mapping):
                self._fail(where, f"{group} must be an object")
            for name, child in named.items():
                self.check(child, f"{where}.{name}", depth + 1)
        if not isinstance(schema.get("items", True), bool):
            self.check(schema["items"], f"{where}[]", depth + 1)
        if isinstance(schema.get("additionalProperties"), Mapping):
            self.check(schema["additionalProperties"], f"{where}.*", depth + 1)
        for group in ("anyOf", "oneOf", "allOf"):
            members = schema.get(group, [])
            if not isinstance(members, list):
                self._fail(where, f"{group} must be a list of schemas")
            for number, child in enumerate(members):
                self.check(child, f"{where}.{group}[{number}]", depth + 1)


def _types(schema: Mapping[str, Any]) -> list[str]:
    given = schema.get("type", [])
    return [given] if isinstance(given, str) else list(given)


def check_arguments(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Hold arguments against a schema that somebody wrote by hand: names and outer types.

    Raises `ValueError` with what is wrong, in words for the model.
    """
    properties = schema.get("properties", {})
    missing = [name for name in schema.get("required", []) if name not in arguments]
    if missing:
        raise ValueError(f"{missing[0]}: missing")
    for name, value in arguments.items():
        if name not in properties:
            if schema.get("additionalProperties") is False:
                raise ValueError(f"{name}: there is no such argument")
            continue
        expected = properties[name].get("type")
        if isinstance(expected, str) and not _is_of_type(value, expected):
            raise ValueError(f"{name}: must be of type {expected}")
        if "enum" in properties[name] and value not in properties[name]["enum"]:
            raise ValueError(f"{name}: must be one of {properties[name]['enum']}")


def _is_of_type(value: Any, expected: str) -> bool:
    if isinstance(value, bool):
        return expected == "boolean"
    python: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if expected == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, python[expected])
