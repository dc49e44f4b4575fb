"""Which statements a piece of code needs: a slice through top-level statements, by the names they
bind and use.

It finds what an answer needs of a notebook's setup, and what an exercise's `run` needs of its
module. Names are those of the global scope, as Python's own symbol table has them: a local variable
or a parameter needs nothing.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """Code that is kept or left out as a whole. `origin` is the caller's."""

    source: str
    binds: frozenset[str]  # global names that it gives a value
    uses: frozenset[str]  # global names that it reads, inside of its functions too
    origin: object = None


def piece(source: str, origin: object = None) -> Piece:
    """`source` with its names; raises SyntaxError for what is no Python."""
    binds, uses, tables = set(), set(), [symtable.symtable(source, "piece", "exec")]
    top = tables[0]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            if table is top or symbol.is_global():
                if symbol.is_assigned() or symbol.is_imported():
                    binds.add(symbol.get_name())
                if symbol.is_referenced():
                    uses.add(symbol.get_name())
    return Piece(source, frozenset(binds), frozenset(uses), origin)


def _changed_roots(statement: ast.stmt) -> set[str]:
    """Names whose items or attributes a statement sets, or whose methods it calls for what they do,
    not for a value.

    It belongs to what gives them a value, or a table that is filled step by step would stay empty.
    """
    roots, waiting = set(), [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue  # what a function does when it is called
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            changed = node.value.func
        else:
            changed = node if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)) else None
        if isinstance(changed, (ast.Attribute, ast.Subscript)):
            while isinstance(changed, (ast.Attribute, ast.Subscript)):
                changed = changed.value
            if isinstance(changed, ast.Name):
                roots.add(changed.id)
    return roots


def statements(source: str, origin: object = None) -> list[Piece]:
    """The top-level statements of `source`, one piece each; of an import of several names, one for
    each name.
    """
    return [
        _changing(piece(ast.unparse(statement), origin), statement)
        for whole in ast.parse(source).body
        for statement in _single_imports(whole)
    ]


def _changing(one: Piece, statement: ast.stmt) -> Piece:
    return Piece(one.source, one.binds | _changed_roots(statement), one.uses, one.origin)


def _single_imports(statement: ast.stmt) -> list[ast.stmt]:
    if isinstance(statement, ast.ImportFrom) and statement.module != "__future__":
        return [
            ast.ImportFrom(statement.module, [name], statement.level) for name in statement.names
        ]
    return (
        [ast.Import([name]) for name in statement.names]
        if isinstance(statement, ast.Import)
        else [statement]
    )


def needed(names: Iterable[str], pieces: list[Piece]) -> list[Piece]:
    """The pieces that give `names` a value, those that these need in turn, and so on; in their
    order.
    """
    wanted, kept = set(names), set()
    growing = True
    while growing:
        more = {
            i
            for i, one in enumerate(pieces)
            if i not in kept and (one.binds & wanted or _future(one))
        }
        kept |= more
        wanted |= {name for i in more for name in pieces[i].uses}
        growing = bool(more)
    return [pieces[i] for i in sorted(kept)]


def _future(one: Piece) -> bool:
    return one.source.startswith("from __future__ import")
