"""Which module of this repository imports which, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One imported module, as an absolute name.

    `for_types` says that it stands under ``if TYPE_CHECKING:``, `lazy` that it stands in a function.
    """

    module: str
    place: str
    for_types: bool
    lazy: bool

    def is_within(self, package: str) -> bool:
        """Whether the imported module is `package` or lies in it."""
        return self.module == package or self.module.startswith(f"{package}.")

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def module_name(file: Path, source_root: Path) -> str:
    """`src/patter/call/__init__.py` is `patter.call`."""
    parts = file.relative_to(source_root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path, source_root: Path) -> list[Import]:
    """Every import in `file`; `from a import b` counts as `a.b`, since b may be a module."""
    name = module_name(file, source_root)
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    return list(_visit(tree, package, str(file.relative_to(source_root)), (False, False)))


def _visit(node: ast.AST, package: str, file: str, where: tuple[bool, bool]) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for module in _modules(child, package):
            yield Import(module, f"{file}:{getattr(child, 'lineno', 0)}", *where)
        for_types, lazy = where
        lazy = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = for_types or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        yield from _visit(child, package, file, (for_types, lazy))


def _modules(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, base] if base else parents)
        return [f"{base}.{alias.name}" for alias in node.names]
    return []
