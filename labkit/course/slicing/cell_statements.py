"""A code cell as its top-level statements, and what each of them does to global names.

Names are those of the global scope, as Python's own symbol table has them: a local variable or a
parameter is none of them.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from labkit.course.slicing.plain_python import plain_python

Names = frozenset[str]
NONE: Names = frozenset()
COMPREHENSIONS = frozenset(("listcomp", "setcomp", "dictcomp", "genexpr"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
LITERAL = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.UnaryOp, ast.unaryop, ast.Load)
# Calls that show something and change none of their arguments; magics are such calls.
SHOWING = frozenset(
    "print display show check check_notebook beside help pprint repr len type run_line_magic"
    " run_cell_magic".split()
)
# Calls that may give any name a value.
OPEN_CALLS = frozenset(("exec", "globals", "locals", "vars"))
OPEN_MAGICS = frozenset(("run", "pylab", "load_ext", "writefile", "file", "env", "set_env"))
# Magics that change what lies in the working folder, or which one that is.
ACTING_MAGICS = frozenset(("bash", "sh", "script", "cd", "pushd", "popd"))
# What IPython's shell has that may: get_ipython().push({"x": 1}).
OPEN_ATTRIBUTES = frozenset(("push", "run_cell", "ex", "user_ns"))
# Names that code in a text, or a text that is a name, gives a value: exec("x = 1"), globals()["x"].
BOUND_IN_TEXT = re.compile(r"^(?:def|class) +(\w+)|^(\w+) *=(?!=)|\A(\w+)\Z", re.MULTILINE)
# Beginnings of the names of functions that set how a module works from then on.
SETTING = ("set", "seed", "manual_seed", "filterwarnings", "simplefilter", "insert", "append")


@dataclass(frozen=True)
class Statement:
    """A top-level statement of a cell, or one name of an import of several."""

    node: ast.stmt = field(repr=False, compare=False)
    source: str
    start: int = 0  # in the cell's plain source, in bytes
    end: int = 0
    # "import", "definition" of a function or class, "constant", "setting" of an object, or none
    kind: str = ""
    binds: Names = NONE  # names that it gives a value
    rebinds: bool = False  # whether what had such a name before is gone
    changes: Names = NONE  # names whose value it changes in place
    by_call: bool = False  # whether it changes them by calls, not by assignments
    uses: Names = NONE  # names that it reads when it runs
    later_uses: Names = NONE  # names that its functions read when they are called
    later_binds: Names = NONE  # names that its functions bind when they are called
    later_changes: Names = NONE  # names whose value its functions change in place
    shows: bool = False  # whether it is a call that only shows something, or an assert
    is_plain: bool = False  # whether it gives names values and cannot do anything else
    opens: bool = False  # whether it may bind names that cannot be told from its text


@lru_cache(maxsize=4096)
def cell_statements(source: str) -> tuple[str, tuple[Statement, ...]]:
    """The plain source of a cell, and its statements; raises SyntaxError for what is not Python.

    >>> _, (import_os, area) = cell_statements("import os\\ndef area(side): return SCALE * side**2")
    >>> sorted(area.binds), sorted(area.later_uses)
    (['area'], ['SCALE'])
    """
    plain = plain_python(source)
    line_starts = [0]
    for line in plain.encode().split(b"\n"):
        line_starts.append(line_starts[-1] + len(line) + 1)
    statements = []
    for node in ast.parse(plain).body:
        first = (node.lineno, node.col_offset)
        for decorator in getattr(node, "decorator_list", []):
            first = min(first, (decorator.lineno, 0))
        start = line_starts[first[0] - 1] + first[1]
        end = line_starts[node.end_lineno - 1] + node.end_col_offset
        for single in single_imports(node):
            statements.append(replace(statement_of(single), start=start, end=end))
    if statements and isinstance(statements[-1].node, ast.Expr) and not statements[-1].shows:
        # The value at the end of a cell is called _ from then on.
        statements[-1] = replace(statements[-1], binds=statements[-1].binds | {"_"})
    return plain, tuple(statements)


def single_imports(node: ast.stmt) -> list[ast.stmt]:
    """An import of several names as one import for each; any other statement as it is."""
    if isinstance(node, ast.ImportFrom) and node.module != "__future__":
        return [ast.ImportFrom(node.module, [alias], node.level) for alias in node.names]
    if isinstance(node, ast.Import):
        return [ast.Import([alias]) for alias in node.names]
    return [node]


def statement_of(node: ast.stmt) -> Statement:
    """What a statement does to global names."""
    source = ast.unparse(node)
    now, later = _names(symtable.symtable(source, "cell", "exec"))
    opens = _opens(node)
    if opens:
        now.binds.update(_bound_in_texts(node))
        now.uses.update(_used_in_texts(node))
    changes = set(_changed_names([node]))
    later_changes = set()
    for function in ast.walk(node):
        if isinstance(function, FUNCTIONS):
            body = function.body if isinstance(function.body, list) else [function.body]
            later_changes |= set(_changed_names(body)) & later.uses
    return Statement(
        node,
        source,
        kind=_kind(node),
        binds=frozenset(now.binds),
        rebinds=_rebinds(node),
        changes=frozenset(changes - now.binds),
        by_call=not isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Delete)),
        uses=frozenset(now.uses),
        later_uses=frozenset(later.uses | later.binds),  # calls += 1 reads what it binds
        later_binds=frozenset(later.binds),
        later_changes=frozenset(later_changes),
        shows=_shows(node),
        is_plain=_is_plain(node),
        opens=opens,
    )


def _rebinds(node: ast.stmt) -> bool:
    """Whether a statement that binds a name leaves nothing of what had it before. An import of a
    module leaves the parts of it that were imported before.
    """
    if isinstance(node, ast.Import):
        return node.names[0].asname is not None
    if isinstance(node, ast.AnnAssign):
        return node.value is not None
    return isinstance(node, (*DEFINITIONS, ast.Assign, ast.ImportFrom))


class _Names(NamedTuple):
    """Global names that code binds and reads."""

    binds: set[str]
    uses: set[str]


def _names(module: symtable.SymbolTable) -> tuple[_Names, _Names]:
    """The names of what runs at once, and of what runs when a function is called."""
    now, later = _Names(set(), set()), _Names(set(), set())
    tables = [(module, now)]
    while tables:
        table, names = tables.pop()
        for child in table.get_children():
            at_once = child.get_type() == "class" or child.get_name() in COMPREHENSIONS
            tables.append((child, names if at_once else later))
        for symbol in table.get_symbols():
            if table is module or symbol.is_global():
                if symbol.is_assigned() or symbol.is_imported():
                    names.binds.add(symbol.get_name())
                if symbol.is_referenced():
                    names.uses.add(symbol.get_name())
    return now, later


def _kind(node: ast.stmt) -> str:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return "import"
    if isinstance(node, DEFINITIONS):
        return "definition"
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
        return "definition"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        function = node.value.func
        if isinstance(function, ast.Attribute) and function.attr.startswith(SETTING):
            return "setting"
        if isinstance(function, ast.Name) and function.id == "setattr":
            return "setting"
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    if any(isinstance(target, (ast.Attribute, ast.Subscript)) for target in targets):
        return "setting"
    if isinstance(node, ast.Assign) and all(isinstance(p, LITERAL) for p in ast.walk(node.value)):
        return "constant"
    return ""


def _changed_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names whose items or attributes are set, whose methods are called for their effect and not
    for a value, and that are handed to a function that is called so.

    What a function does when it is called is not looked into.
    """
    nodes = list(nodes)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (*DEFINITIONS, ast.Lambda)):
            for decorator in getattr(node, "decorator_list", ()):  # @table.register
                function = decorator.func if isinstance(decorator, ast.Call) else decorator
                if isinstance(function, ast.Attribute):
                    yield from filter(None, [_base(function)])
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.For) and set(_changed_names(node.body)) & _names_in(node.target):
            yield from _names_in(node.iter)  # for row in table: row.append(0)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value
            if isinstance(call.func, ast.Name):
                if call.func.id not in SHOWING:
                    yield from filter(None, map(_base, call.args))
            else:
                yield from filter(None, map(_base, [call.func, *call.args]))
        elif isinstance(node, (ast.Attribute, ast.Subscript)):
            if isinstance(node.ctx, (ast.Store, ast.Del)):
                yield from filter(None, [_base(node)])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del):
            yield node.id


def _names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _base(node: ast.AST) -> str | None:
    """The name at the beginning of `name.attribute[item]`, also as `*name` and `type(name).x`."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type":
        node = node.args[0] if node.args else node
    return node.id if isinstance(node, ast.Name) else None


def _bound_in_texts(node: ast.stmt) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.keyword) and part.arg:
            yield part.arg
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            for groups in BOUND_IN_TEXT.findall(part.value):
                yield from filter(None, groups)


def _used_in_texts(node: ast.stmt) -> Iterator[str]:
    """Global names that code in a text reads: exec("area = side**2")."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            with suppress(SyntaxError, ValueError, RecursionError):
                now, later = _names(symtable.symtable(part.value, "text", "exec"))
                yield from now.uses | later.uses


def _shows(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        function = node.value.func
        name = getattr(function, "id", getattr(function, "attr", ""))
        if name.endswith("_magic") and _first_text(node.value) in ACTING_MAGICS:
            return False
        # What a shell installs would be here already; there is no network to get it from.
        return name in SHOWING or (name == "system" and "install" in ast.unparse(node))
    return isinstance(node, ast.Assert)


def _is_plain(node: ast.stmt) -> bool:
    """Whether a statement is an import, a constant, or defines what no decorator and no base class
    is told of.
    """
    told = ("decorator_list", "bases", "keywords")
    if _kind(node) not in ("import", "constant", "definition"):
        return False
    return not any(getattr(node, name, ()) for name in told)


def _opens(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.names[0].name == "*" or node.module == "__future__"
    for part in ast.walk(node):
        if isinstance(part, (*DEFINITIONS, ast.Lambda)):
            return False
        if isinstance(part, ast.Attribute) and part.attr in OPEN_ATTRIBUTES:
            return True
        if isinstance(part, ast.Call):
            function = part.func
            if isinstance(function, ast.Name) and function.id in OPEN_CALLS:
                return True
            if isinstance(function, ast.Attribute) and function.attr.endswith("_magic"):
                return _first_text(part) in OPEN_MAGICS
    return False


def _first_text(call: ast.Call) -> object:
    """What a call's first argument is, if that is a literal."""
    return getattr(call.args[0], "value", "") if call.args else ""
