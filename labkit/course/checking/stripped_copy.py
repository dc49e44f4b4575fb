"""The copy of labkit that a student's answer runs with: nothing in it tells the answer.

Of the exercises only `run` is in it: no inputs, no judges, none of what judges compare with. Of
what an exercise names in `instead_of` only the signatures are: calling it raises, whatever name it
was imported under, and importing it again or reading its file gives no more. Graders and the
checking code are not in it.
"""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path

import labkit
from labkit.course.checking.emptied_functions import emptied, locate
from labkit.course.exercises.exercise import Exercise, notebook_number
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise
from labkit.course.slicing.module_slice import CodeUnit, slice_for, statement_units

PACKAGE = Path(labkit.__file__).resolve().parent
JUDGES = "course/judges"
EXCLUDED = (
    "cli/",
    "course/checking/",
    "course/confinement/",
    "course/execution/",
    "course/grading/",
    "course/release/",
    f"{JUDGES}/",
    "course/pictures/wrong_answers.py",  # compares with what judges compare with
    "course/story/stand_ins.py",  # does what is asked
)
INCLUDED = (
    "course/checking/__init__.py",
    "course/checking/answer_call.py",
    f"{JUDGES}/__init__.py",
    f"{JUDGES}/registry.py",
)
FUTURE = "from __future__ import annotations"
JUDGED_OUTSIDE = """
def _judged_outside(*_):
    raise Wrong("exercises are judged outside of this process")


EXERCISES = ({exercises},)
"""


def write_copies(folder: Path, number: int, ids: list[str]) -> dict[str, Path]:
    """Write the copies for exercises `ids` of notebook `number` below `folder`; returns where the
    kernel of each finds labkit.
    """
    base = write_base(folder / "base", number)
    paths = {}
    for id in ids:
        exercise = get_exercise(id)
        paths[id] = write_without(folder / id, base, exercise) if exercise.instead_of else base
    return paths


def write_base(folder: Path, number: int) -> Path:
    """Copy labkit to `folder`/labkit, with the runs of notebook `number`; returns `folder`."""
    target = folder / "labkit"
    for source in sorted(PACKAGE.rglob("*.py")):
        name = source.relative_to(PACKAGE).as_posix()
        if name in INCLUDED or not name.startswith(EXCLUDED):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
    for name, text in runs_only(list(exercises_of(number).values())).items():
        (target / name).write_text(text, encoding="utf-8")
    return folder


def write_without(folder: Path, base: Path, exercise: Exercise) -> Path:
    """The copy in `base` again, in `folder`, without what is labkit's own answer to `exercise`."""
    shutil.copytree(base, folder, copy_function=_link)
    names_by_file: dict[Path, list[str]] = {}
    for dotted in exercise.instead_of:
        for path, name in locate(folder, dotted):
            names_by_file.setdefault(path, []).append(name)
    for path, names in names_by_file.items():
        text = emptied(path.read_text(encoding="utf-8"), names, exercise.id)
        path.unlink()  # not overwritten: it is a hard link to the file in the base
        path.write_text(text, encoding="utf-8")
    return folder


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


# ---- runs without judges -------------------------------------------------------------------------


def runs_only(exercises: list[Exercise]) -> dict[str, str]:
    """File in labkit -> source that holds, of the modules of exercises of one notebook, only what
    their runs need.
    """
    names_by_file: dict[str, set[str]] = {}
    topic_file = f"{JUDGES}/{TOPICS[notebook_number(exercises[0].id)]}.py"
    pending = [(topic_file, exercise.run.__name__) for exercise in exercises]
    while pending:  # a run may use what another module of exercises holds, or be from there
        file, name = pending.pop()
        names = names_by_file.setdefault(file, set())
        if name not in names:
            names.add(name)
            pending += _imported(_slice(file, {name}))
    texts = {
        file: "\n\n".join(unit.source for unit in _slice(file, names)) + "\n"
        for file, names in names_by_file.items()
    }
    head, _, body = texts[topic_file].rpartition(FUTURE)
    type_import = "from labkit.course.exercises.exercise import Exercise, Wrong"
    ending = JUDGED_OUTSIDE.format(exercises=", ".join(map(_without_judge, exercises)))
    texts[topic_file] = f"{head}{FUTURE}\n{type_import}\n{body}{ending}"
    return texts


def _without_judge(exercise: Exercise) -> str:
    return (
        f"Exercise({exercise.id!r}, {exercise.points!r}, {exercise.function!r}, _judged_outside, "
        f"{exercise.run.__name__}, _judged_outside, {exercise.instead_of!r})"
    )


def _file(module: str) -> str:
    """labkit.course.judges.supernet -> course/judges/supernet.py"""
    return module.removeprefix("labkit.").replace(".", "/") + ".py"


def _slice(file: str, names: set[str]) -> list[CodeUnit]:
    units = slice_for(names, statement_units((PACKAGE / file).read_text(encoding="utf-8")))
    missing = names.difference(*(unit.binds for unit in units))
    if missing:
        raise ValueError(
            f"labkit/{file}: {', '.join(sorted(missing))} should be defined at the module's top"
            " level"
        )
    return units


def _imported(units: list[CodeUnit]) -> list[tuple[str, str]]:
    """(file, name) of what `units` import from modules of exercises."""
    nodes = [node for unit in units for node in ast.walk(ast.parse(unit.source))]
    return [
        (_file(node.module), alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("labkit.course.judges.")
        for alias in node.names
    ]
