"""Which statements a piece of code needs: a slice through top-level statements, by the names that
they bind and use.

It finds what an answer needs of a notebook's setup, and what an exercise's `run` needs of its
module. Names are those of the global scope, as Python's own symbol table has them: a local variable
or a parameter needs nothing.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class CodeUnit:
    """Code that is in a slice as a whole, or not in it."""

    source: str
    binds: frozenset[str] = frozenset()  # global names that it gives a value
    uses: frozenset[str] = frozenset()  # global names that it reads, inside its functions too
    role: str = ""  # what the code is to the caller


def code_unit(source: str, role: str = "") -> CodeUnit:
    """`source` with its names; raises SyntaxError for what is not Python.

    >>> unit = code_unit("def area(side): return SCALE * side**2")
    >>> sorted(unit.binds), sorted(unit.uses)
    (['area'], ['SCALE'])
    """
    binds, uses = set(), set()
    module = symtable.symtable(source, "unit", "exec")
    tables = [module]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            if table is module or symbol.is_global():
                if symbol.is_assigned() or symbol.is_imported():
                    binds.add(symbol.get_name())
                if symbol.is_referenced():
                    uses.add(symbol.get_name())
    return CodeUnit(source, frozenset(binds), frozenset(uses), role)


def statement_units(source: str, role: str = "") -> list[CodeUnit]:
    """The top-level statements of `source`, one unit each; of an import of several names, one unit
    for each name.
    """
    units = []
    for compound in ast.parse(source).body:
        for statement in _single_imports(compound):
            unit = code_unit(ast.unparse(statement), role)
            units.append(replace(unit, binds=unit.binds | _changed_names(statement)))
    return units


def _changed_names(statement: ast.stmt) -> set[str]:
    """Names whose items or attributes a statement sets, or whose methods it calls for their effect
    and not for a value.

    Such a statement belongs to what gives the name its value: without it, a table that is filled
    step by step would stay empty.
    """
    names, nodes = set(), [statement]
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue  # its body acts when it is called, not here
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            changed = node.value.func
        elif isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
            changed = node
        else:
            continue
        parts = 0
        while isinstance(changed, (ast.Attribute, ast.Subscript)):
            changed, parts = changed.value, parts + 1
        if parts and isinstance(changed, ast.Name):
            names.add(changed.id)
    return names


def _single_imports(statement: ast.stmt) -> list[ast.stmt]:
    if isinstance(statement, ast.ImportFrom) and statement.module != "__future__":
        module, level = statement.module, statement.level
        return [ast.ImportFrom(module, [alias], level) for alias in statement.names]
    if isinstance(statement, ast.Import):
        return [ast.Import([alias]) for alias in statement.names]
    return [statement]


def slice_for(names: Iterable[str], units: list[CodeUnit]) -> list[CodeUnit]:
    """The units that give `names` a value, those that these need in turn, and so on, in their
    order; imports from __future__ are always among them.
    """
    needed_names, indices = set(names), set()
    while True:
        more = {
            i
            for i, unit in enumerate(units)
            if i not in indices and (unit.binds & needed_names or _from_future(unit))
        }
        if not more:
            return [units[i] for i in sorted(indices)]
        indices |= more
        needed_names.update(*(units[i].uses for i in more))


def _from_future(unit: CodeUnit) -> bool:
    return unit.source.startswith("from __future__ import")
