"""Mutants of a solution: one small change to its syntax tree each, such as a slip of the pen would
make.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div,),
    ast.Mod: (ast.FloorDiv,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.Pow: (ast.Mult,),
}
NAMES = {
    "sum": "mean",
    "mean": "sum",
    "min": "max",
    "max": "min",
    "argmin": "argmax",
    "argmax": "argmin",
    "amin": "amax",
    "amax": "amin",
    "minimum": "maximum",
    "maximum": "minimum",
    "any": "all",
    "all": "any",
    "floor": "ceil",
    "ceil": "floor",
    "median": "mean",
    "exp": "log",
    "log": "exp",
    "zeros": "ones",
    "ones": "zeros",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
}


class Mutant(NamedTuple):
    change: str  # "line as it was => line as it is"
    source: str


def mutants(source: str) -> list[Mutant]:
    """Every mutant of the functions in `source`, each once."""
    tree = ast.parse(source)
    original, by_text = ast.unparse(tree), {}
    places = [path for path, node in _walk(tree) if any(kind == "body" for kind, _ in path)]
    for path in places:
        for change in range(len(list(_changes(_at(tree, path))))):
            mutated = copy.deepcopy(tree)
            parent, (field, index) = _at(mutated, path[:-1]), path[-1]
            node = list(_changes(_at(mutated, path)))[change]
            if index is None:
                setattr(parent, field, node)
            else:
                getattr(parent, field)[index] = node
            text = ast.unparse(ast.fix_missing_locations(mutated))
            if text != original:
                by_text.setdefault(text, Mutant(_difference(original, text), text))
    return list(by_text.values())


def _walk(node: ast.AST, path: tuple = ()) -> Iterator[tuple[tuple, ast.AST]]:
    for field, value in ast.iter_fields(node):
        if field in ("args", "returns", "decorator_list") and isinstance(node, ast.FunctionDef):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                place = (*path, (field, index))
                yield place, child
                yield from _walk(child, place)


def _at(node: ast.AST, path: tuple) -> ast.AST:
    for field, index in path:
        node = getattr(node, field)
        node = node if index is None else node[index]
    return node


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes to put in the place of `node`."""
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.Compare(left=left, ops=[op], comparators=right):
            for other in COMPARISONS.get(type(op), ()):
                yield ast.Compare(left, [other()], right)
        case ast.BinOp(left=left, op=op, right=right):
            for other in OPERATORS.get(type(op), ()):
                yield ast.BinOp(left, other(), right)
            yield left
            yield right
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            for i in range(len(values)):
                rest = values[:i] + values[i + 1 :]
                yield ast.BoolOp(op, rest) if len(rest) > 1 else rest[0]
        case ast.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case ast.Call(func=func, args=args, keywords=keywords):
            if isinstance(func, ast.Attribute) and func.attr in NAMES:
                yield ast.Call(
                    ast.Attribute(func.value, NAMES[func.attr], ast.Load()), args, keywords
                )
            if isinstance(func, ast.Name) and func.id in ("min", "max", "any", "all"):
                yield ast.Call(ast.Name(NAMES[func.id], ast.Load()), args, keywords)
            if isinstance(func, ast.Attribute):
                yield func.value  # x.sort() -> x
            if args and not isinstance(args[0], ast.Starred | ast.GeneratorExp):
                yield args[0]  # sorted(x) -> x
            if len(args) == 2 and not any(isinstance(a, ast.Starred) for a in args):
                yield ast.Call(func, args[::-1], keywords)
            for i in range(len(keywords)):
                yield ast.Call(func, args, keywords[:i] + keywords[i + 1 :])
        case ast.Slice(lower=lower, upper=upper, step=step):
            if lower:
                yield ast.Slice(None, upper, step)
            if upper:
                yield ast.Slice(lower, None, step)
            if step:
                yield ast.Slice(lower, upper, None)
        case ast.AugAssign(target=target, op=op, value=value):
            for other in OPERATORS.get(type(op), ()):
                yield ast.AugAssign(target, other(), value)
        case ast.Expr() | ast.Raise() | ast.Continue() | ast.Break() if not isinstance(
            getattr(node, "value", None), ast.Constant
        ):
            yield ast.Pass()


def _difference(before: str, after: str) -> str:
    """The lines in which two texts differ, as one line."""
    old, new = before.splitlines(), after.splitlines()
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return " / ".join(map(str.strip, old)) + " => " + " / ".join(map(str.strip, new))
