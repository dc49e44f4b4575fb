"""The copy of labkit that answers run with: runs, and nothing that tells an answer."""

import ast
import re

import pytest

from labkit.course.checking.emptied_functions import OWN_ANSWER, locate
from labkit.course.checking.stripped_copy import runs_only, write_base, write_without
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise


@pytest.mark.parametrize("number", TOPICS)
def test_the_copy_holds_runs_but_no_inputs_judges_or_graders(number, tmp_path):
    exercises = exercises_of(number)
    base = write_base(tmp_path / "base", number)
    texts = {path.relative_to(base).as_posix(): path.read_text() for path in base.rglob("*.py")}
    defined = {
        node.name
        for name, text in texts.items()
        if "/judges/" in name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    for exercise in exercises.values():
        assert (
            exercise.run.__name__ in defined
            and not {exercise.judge.__name__, exercise.inputs.__name__} & defined
        )
    assert not any(re.search("/(grading|release|cli)/", name) for name in texts)
    assert sorted(name for name in texts if "/checking/" in name) == [
        f"labkit/course/checking/{name}.py" for name in ("__init__", "answer_call")
    ]
    assert not list(base.rglob("*.pyc")) and runs_only(list(exercises.values()))


@pytest.mark.parametrize(
    "id",
    [
        id
        for number in TOPICS
        for id, exercise in exercises_of(number).items()
        if exercise.instead_of
    ],
)
def test_what_labkit_has_instead_raises_and_the_rest_is_as_it_was(id, tmp_path):
    exercise = get_exercise(id)
    base = write_base(tmp_path / "base", int(id.partition(".")[0]))
    before = {path.relative_to(base): path.read_text() for path in base.rglob("*.py")}
    without = write_without(tmp_path / "own", base, exercise)
    changed = {path for path, text in before.items() if (without / path).read_text() != text}
    assert changed and all(
        OWN_ANSWER in (without / path).read_text() for path in changed if path.name != "__init__.py"
    )
    assert before == {path.relative_to(base): path.read_text() for path in base.rglob("*.py")}


def test_names_are_followed_to_where_they_are_defined(tmp_path):
    base = write_base(tmp_path / "base", 4)
    places = locate(base, "labkit.search.evolve")
    assert [(path.name, name) for path, name in places] == [("evolution.py", "evolve")]
    assert len(locate(base, "labkit.search")) > 3
    with pytest.raises(ValueError, match="no such module"):
        locate(base, "labkitten.search")
