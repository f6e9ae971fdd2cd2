"""How much is held by an object and everything that it leads to, told by who holds it."""

from __future__ import annotations

import gc
import inspect
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

_CONTAINERS = (dict, list, set, frozenset, tuple, deque)
_LONGEST_NAME = 160
#: these lead to everything, or to nothing
_ENDS = (type, ModuleType, FunctionType, str, bytes, bytearray, int, float, complex, type(None))


def sizes(roots: Mapping[str, Any]) -> Counter[str]:
    """The elements in each container that the roots lead to, by class and attribute, and the objects of each class.

    Classes, modules and functions are not entered; bound methods are. Containers of containers are told apart by
    ``[]``.
    """
    counted: Counter[str] = Counter()
    seen: dict[int, Any] = {}
    waiting: deque[tuple[str, Any]] = deque(roots.items())
    while waiting:
        name, value = waiting.popleft()
        if isinstance(value, _ENDS) or id(value) in seen:
            continue
        seen[id(value)] = value  # keeps it, so that its address is not used again
        if isinstance(value, _CONTAINERS):
            counted[name] += len(value)
            waiting += ((f"{name}[]", one) for one in _elements(value))
        else:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            if not kind.startswith("patter") and len(name) < _LONGEST_NAME:
                kind = name  # a foreign class says nothing of who holds it
            counted[kind] += 1
            waiting += ((f"{kind}.{attribute}", one) for attribute, one in _attributes(value))
    return counted


def living(prefix: str = "patter") -> Counter[str]:
    """The objects of each class of ours that the garbage collector knows, reachable or not, with all tasks."""
    kinds = (type(one) for one in gc.get_objects())
    return Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in kinds
        if str(kind.__module__).startswith(prefix) or "Task" in kind.__name__ or "Handle" in kind.__name__
    )


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """What is more than it was."""
    return {name: (before.get(name, 0), now) for name, now in after.items() if now > before.get(name, 0)}


def _elements(container: Any) -> Iterator[Any]:
    if isinstance(container, dict):
        yield from container.keys()
        yield from container.values()
    else:
        yield from container


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, MethodType):
        yield "self", value.__self__
        return
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        for name, slot in vars(kind).items():
            if isinstance(slot, MemberDescriptorType) and not isinstance(slot, GetSetDescriptorType):
                held = inspect.getattr_static(value, name, None)
                if held is slot:
                    try:
                        yield name, slot.__get__(value)
                    except (AttributeError, TypeError):  # an empty slot
                        continue
