"""Files and functions that can be read in one go."""

from __future__ import annotations

import ast

import catalogue

LONGEST_FILE = 400
LONGEST_FUNCTION = 60

PACKAGES = catalogue.load().packages


def sources(packages):
    return [file for package in packages for file in sorted(package.source.rglob("*.py"))]


def long_functions(text):
    """(name, lines) of the functions with more than LONGEST_FUNCTION lines, decorators not counted."""
    functions = (
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    sizes = ((node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions)
    return [(name, size) for name, size in sizes if size > LONGEST_FUNCTION]


def test_counts_the_lines_of_a_function():
    body = "\n".join("    x = 1" for _ in range(LONGEST_FUNCTION))
    assert long_functions(f"async def a():\n{body}\n") == [("a", LONGEST_FUNCTION + 1)]
    assert long_functions(f"def b():\n{body[: body.rindex(chr(10))]}\n") == []


def test_no_file_of_core_is_too_long():
    sizes = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in sources(PACKAGES[:1])}
    too_long = {
        str(file.relative_to(catalogue.ROOT)): size for file, size in sizes.items() if size > LONGEST_FILE
    }
    assert too_long == {}


def test_no_function_is_too_long():
    found = {
        f"{file.relative_to(catalogue.ROOT)}: {name}": size
        for file in sources(PACKAGES)
        for name, size in long_functions(file.read_text(encoding="utf-8"))
    }
    assert found == {}
