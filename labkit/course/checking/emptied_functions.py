"""Source without the bodies of some of its functions: what is labkit's own answer to an exercise
raises when it is called, and cannot be read.
"""

from __future__ import annotations

import ast
from pathlib import Path

# In the message of what an answer calls that should be written by the student.
OWN_ANSWER = "is labkit's own answer to exercise"

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def locate(folder: Path, dotted: str) -> list[tuple[Path, str]]:
    """Where what a dotted name means is defined below `folder`: the file, and the name inside it,
    '' for all of the file; of a package all files. Raises ValueError for an unknown module.
    """
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        path, names = folder.joinpath(*parts[:count]), parts[count:]
        if path.is_dir() and not names:
            return [(file, "") for file in sorted(path.rglob("*.py"))]
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                origin = _imported_from(file, names[0]) if names else None
                if origin:
                    return locate(folder, ".".join([origin, *names[1:]]))
                return [(file, ".".join(names))]
    raise ValueError(f"instead_of {dotted!r}: no such module in labkit")


def _imported_from(file: Path, name: str) -> str | None:
    """The dotted name behind `name` in `file`, if the file imports it from labkit."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labkit."):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return f"{node.module}.{alias.name}"
    return None


def emptied(text: str, names: list[str], id: str) -> str:
    """The source `text` with the functions and classes `names` emptied; '' stands for all of it.

    Raises ValueError for a name that `text` does not define.
    """
    tree = ast.parse(text)
    for name in names:
        nodes = [tree]
        for part in filter(None, name.split(".")):
            nodes = [node for parent in nodes for node in _definitions(parent, part)]
        if not nodes:
            raise ValueError(
                f"instead_of of exercise {id}: {name!r} is not defined where it is said to be"
            )
        owner, dot, _ = name.rpartition(".")
        for node in nodes:
            _Emptying(id, owner + dot).visit(node)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _definitions(parent: ast.AST, name: str) -> list[ast.AST]:
    definitions = (node for node in ast.walk(parent) if isinstance(node, (*Function, ast.ClassDef)))
    return [node for node in definitions if node.name == name]


class _Emptying(ast.NodeTransformer):
    """Functions raise, and classes have no instances."""

    def __init__(self, id: str, prefix: str) -> None:
        self.id, self.prefix = id, prefix  # "ElasticDepthwise." before the name of a method

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.body = self._raise(node.name)
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        new = ast.parse("def __new__(cls, *args, **kwargs):\n    pass").body[0]
        new.body = self._raise(node.name)
        node.body = [part for part in node.body if getattr(part, "name", None) != "__new__"]
        node.body.append(new)
        return node

    def _raise(self, name: str) -> list[ast.stmt]:
        message = f"{self.prefix}{name} {OWN_ANSWER} {self.id}"
        return ast.parse(f"raise RuntimeError({message!r})").body
