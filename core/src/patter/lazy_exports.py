"""The public names of a package, each imported from its home when it is first used.

Importing such a package costs nearly nothing, whatever its names need. It holds a table of name and home, and takes
both of its hooks (PEP 562) from here::

    _HOMES = {"Call": "patter.call.call"}
    __all__ = sorted(_HOMES)
    if not TYPE_CHECKING:
        __getattr__, __dir__ = lazy_exports(__name__, _HOMES)

Type checkers read the same names from imports under ``if TYPE_CHECKING`` and do not see the hooks, so that they know a
wrong name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping


def lazy_exports(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package.

    `homes` says for each public name in which module it is defined. A name is looked up there once and is an ordinary
    attribute of the package from then on. A name that is not in the table raises AttributeError; what goes wrong while
    a home is imported reaches whoever asked.
    """

    def look_up(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        value: object = getattr(import_module(home), name)
        setattr(sys.modules[package], name, value)
        return value

    def public_names() -> list[str]:
        return sorted(homes)

    return look_up, public_names
