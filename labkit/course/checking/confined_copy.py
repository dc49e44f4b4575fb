"""The copy of labkit that a student's answer runs with: nothing in it tells the answer.

Of the exercises only `run` is left: no inputs, no judges, none of what judges compare with. Of what
an exercise names in `instead_of` only the signatures are left: calling it raises, whatever name it
was imported under, and importing it again or reading its file gives no more. Graders and the
checking code are not in it.
"""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path

import labkit
from labkit.course.checking.code_slices import Piece, needed, statements
from labkit.course.exercises.exercise import Exercise
from labkit.course.judges.registry import TOPICS, exercises_of

PACKAGE = Path(labkit.__file__).resolve().parent
JUDGES = "course/judges"
LEFT_OUT = (
    "cli/",
    "course/checking/",
    "course/grading/",
    "course/release/",
    f"{JUDGES}/",
    "course/pictures/wrong_answers.py",
)
KEPT = (
    "course/checking/__init__.py",
    "course/checking/answer_call.py",
    f"{JUDGES}/__init__.py",
    f"{JUDGES}/registry.py",
)
FUTURE = "from __future__ import annotations"
OWN = "is labkit's own answer to exercise"  # what an answer meets that calls it
ENDING = """
def _elsewhere(*_):
    raise Wrong("exercises are judged outside of this process")


EXERCISES = ({exercises},)
"""


def write_base(folder: Path, number: int) -> Path:
    """Copy labkit to `folder`/labkit, with the runs of notebook `number`; returns `folder`."""
    target = folder / "labkit"
    for source in sorted(PACKAGE.rglob("*.py")):
        name = source.relative_to(PACKAGE).as_posix()
        if name in KEPT or not name.startswith(LEFT_OUT):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
    for name, text in runs_only(list(exercises_of(number).values())).items():
        (target / name).write_text(text, encoding="utf-8")
    return folder


def write_without(folder: Path, base: Path, exercise: Exercise) -> Path:
    """The copy in `base` again, in `folder`, without what is labkit's own answer to `exercise`."""
    shutil.copytree(base, folder, copy_function=_link)
    emptied: dict[Path, list[str]] = {}
    for dotted in exercise.instead_of:
        for path, inside in _resolved(folder, dotted):
            emptied.setdefault(path, []).append(inside)
    for path, insides in emptied.items():
        text = _emptied(path.read_text(encoding="utf-8"), insides, exercise)
        path.unlink()  # not written over: the file is one with the base's
        path.write_text(text, encoding="utf-8")
    return folder


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


# ---- runs without judges -------------------------------------------------------------------------


def runs_only(given: list[Exercise]) -> dict[str, str]:
    """File in labkit -> source that holds of the modules of exercises only what their runs need."""
    wanted: dict[str, set[str]] = {}
    waiting = [(_file(exercise.run.__module__), exercise.run.__name__) for exercise in given]
    while waiting:  # a run may use what another module of exercises holds
        name, function = waiting.pop()
        if function not in wanted.setdefault(name, set()):
            wanted[name].add(function)
            waiting += _imported(_slice(name, {function}))
    kept = {name: _slice(name, names) for name, names in wanted.items()}
    texts = {
        name: "\n\n".join(piece.source for piece in pieces) + "\n" for name, pieces in kept.items()
    }
    if given:
        name = f"{JUDGES}/{TOPICS[int(given[0].id.partition('.')[0])]}.py"
        head, _, rest = texts.get(name, "").rpartition(FUTURE)
        texts[name] = (
            f"{head}{FUTURE}\nfrom labkit.course.exercises.exercise import Exercise, Wrong\n{rest}"
            + ENDING.format(exercises=", ".join(map(_without_judge, given)))
        )
    return texts


def _without_judge(exercise: Exercise) -> str:
    return (
        f"Exercise({exercise.id!r}, {exercise.points!r}, {exercise.function!r}, _elsewhere, "
        f"{exercise.run.__name__}, _elsewhere, {exercise.instead_of!r})"
    )


def _file(module: str) -> str:
    """labkit.course.judges.supernet -> course/judges/supernet.py"""
    return module.removeprefix("labkit.").replace(".", "/") + ".py"


def _slice(name: str, names: set[str]) -> list[Piece]:
    pieces = needed(names, statements((PACKAGE / name).read_text(encoding="utf-8")))
    missing = names - {name for piece in pieces for name in piece.binds}
    if missing:
        raise ValueError(
            f"labkit/{name}: {', '.join(sorted(missing))} should be defined at the module's top"
            " level"
        )
    return pieces


def _imported(pieces: list[Piece]) -> list[tuple[str, str]]:
    """(file, name) of what pieces import from modules of exercises."""
    nodes = [
        node
        for piece in pieces
        for node in ast.walk(ast.parse(piece.source))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("labkit.course.judges.")
    ]
    return [(_file(node.module), alias.name) for node in nodes for alias in node.names]


# ---- without labkit's own answers ----------------------------------------------------------------


def _resolved(folder: Path, dotted: str) -> list[tuple[Path, str]]:
    """Where what a dotted name means is defined: file, and name inside of it ('' for all); all
    files of a package.
    """
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        path, inside = folder.joinpath(*parts[:count]), parts[count:]
        if path.is_dir() and not inside:
            return [(file, "") for file in sorted(path.rglob("*.py"))]
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                origin = _imported_from(file, inside[0]) if inside else None
                return (
                    _resolved(folder, ".".join([origin, *inside[1:]]))
                    if origin
                    else [(file, ".".join(inside))]
                )
    raise ValueError(f"instead_of {dotted!r}: no such module in labkit")


def _imported_from(file: Path, name: str) -> str | None:
    """The dotted name behind `name` in `file`, if the file imports it from labkit."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labkit."):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return f"{node.module}.{alias.name}"
    return None


def _emptied(text: str, insides: list[str], exercise: Exercise) -> str:
    tree = ast.parse(text)
    for inside in insides:
        found = [tree]
        for name in filter(None, inside.split(".")):
            found = [
                node
                for parent in found
                for node in ast.walk(parent)
                if getattr(node, "name", None) == name
                and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            ]
        if not found:
            raise ValueError(
                f"instead_of of exercise {exercise.id}: {inside!r} is not defined where it is said"
                " to be"
            )
        for node in found:
            _Empty(exercise.id, inside.rpartition(".")[0]).visit(node)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


class _Empty(ast.NodeTransformer):
    """Functions raise, and classes cannot be made instances of."""

    def __init__(self, id: str, owner: str) -> None:
        self.id, self.owner = id, f"{owner}." if owner else ""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.body = self._raise(node.name)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        node.body = self._raise(node.name)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        fresh = ast.parse("def __new__(cls, *args, **kwargs):\n    pass").body[0]
        fresh.body = self._raise(node.name)
        node.body = [part for part in node.body if getattr(part, "name", None) != "__new__"] + [
            fresh
        ]
        return node

    def _raise(self, name: str) -> list[ast.stmt]:
        return ast.parse(f"raise RuntimeError({f'{self.owner}{name} {OWN} {self.id}'!r})").body
