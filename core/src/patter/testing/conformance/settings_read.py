"""Which of its settings a provider reads: a setting that is accepted and never read has no effect (CF-04).

A setting counts as read when the provider took it from its configuration while it was made or at work, or when code of
its package does so on a path that a usual piece of work does not take, such as the one after a lost connection.
Checks of values (pydantic's validators) are no reads: what is checked and never used has no effect either. A setting
that can have one value alone, such as the only model there is, is there to refuse the others, and need not be read.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel

ConfigT = TypeVar("ConfigT", bound=BaseModel)

#: what hands on all settings of a configuration at once
_ALL_AT_ONCE: Final = frozenset({"model_dump", "model_dump_json", "model_copy", "__iter__"})
#: the fakes are modules of a package that has code of many purposes
_CORE: Final = "patter"
#: a package is looked through up to so many files
_MOST_FILES: Final = 500


def recording(config: ConfigT, read: set[str]) -> ConfigT:
    """A copy of a configuration, of a class derived from its own, that notes in `read` which settings are taken."""
    own = type(config)
    fields = frozenset(own.model_fields)

    def note(self: Any, name: str) -> Any:
        if name in fields:
            read.add(name)
        elif name in _ALL_AT_ONCE:
            read.update(fields)
        return own.__getattribute__(self, name)

    names = {"__getattribute__": note, "__module__": own.__module__, "__qualname__": own.__qualname__}
    copy = config.model_copy()
    object.__setattr__(copy, "__class__", type(own.__name__, (own,), names))
    return copy


def unread_settings(config: type[BaseModel], factory: Callable[..., object], read: set[str]) -> list[str]:
    """The settings of a configuration that neither the work of a provider nor any code of its package took."""
    left = {name for name, field in config.model_fields.items() if not _one_value(field.annotation)} - read
    if not left:
        return []
    for source in _sources_of(factory):
        left -= _attributes_read(ast.parse(source))
    return sorted(left)


def _one_value(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def unread_parameters(factory: Callable[..., object]) -> list[str]:
    """The parameters of a factory without a configuration that its code never reads."""
    function = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]
    code = getattr(inspect.unwrap(function), "__code__", None)
    if not isinstance(code, CodeType):  # compiled: what it does with its parameters cannot be seen
        return []
    count = code.co_argcount + code.co_kwonlyargcount
    parameters = set(code.co_varnames[:count]) - {"self", "cls", "context"}
    return sorted(parameters - _loaded(code))


def _loaded(code: CodeType) -> set[str]:
    import dis

    loaded = set(code.co_cellvars)
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith("LOAD_FAST"):
            names = instruction.argval
            loaded.update(names if isinstance(names, tuple) else (names,))
    return loaded


def _sources_of(factory: Callable[..., object]) -> Iterator[str]:
    """The source files of the package that a factory is from, or of its module alone."""
    module = sys.modules.get(factory.__module__)
    if module is None:
        return
    name = factory.__module__.partition(".")[0]
    package = module if name == _CORE else sys.modules.get(name, module)
    for path in _files(package, module):
        try:
            yield path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue


def _files(package: ModuleType, module: ModuleType) -> list[Path]:
    folders = [Path(folder) for folder in getattr(package, "__path__", ())]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))][:_MOST_FILES]
    return files or [Path(one) for one in [getattr(module, "__file__", None)] if one]


def _attributes_read(tree: ast.AST) -> set[str]:
    """Attributes that code reads, also by a constant name; validators of values are passed over."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef) and any(
            "validator" in ast.unparse(one) for one in node.decorator_list
        ):
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            found.add(node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            found.update(_texts(node.args[1:2]))
        waiting.extend(ast.iter_child_nodes(node))
    return found


def _texts(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
