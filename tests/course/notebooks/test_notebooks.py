"""The notebooks as files: checked cells, exercises and their checks, students' copies; and, slowly,
run by nbval.
"""

import json
import os
import re
import subprocess
import symtable
import sys
from fnmatch import fnmatchcase

import pytest

from labkit.course.exercises.trial import try_answer
from labkit.course.handout.free_text import written_tasks
from labkit.course.handout.notebook_file import (
    as_text,
    cell_source,
    new_code_cell,
    new_notebook,
    read,
)
from labkit.course.handout.student_copy import (
    CHECKED,
    EXERCISE,
    INSTRUCTOR,
    SOLUTION,
    instructor_copy,
    student_copy,
    without_solution,
)
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise
from labkit.course.release import student_notebooks as student
from labkit.course.release.contents import COPIED
from labkit.latency.devices import get_device
from labkit.space.presets import get_space
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import search_subnet
from labkit.specialize.targets import Request
from labkit.supernet.folder import TrainedSupernet

NOTEBOOKS = sorted(INSTRUCTOR.glob("*.ipynb"))
by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def checked(notebook):
    return [cell for cell in code(notebook) if cell_source(cell).startswith(CHECKED)]


def text_of(cell):
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


@by_name
def test_checked_cells_keep_output_and_count(path):
    cells = checked(read(path))
    assert len(cells) >= 3
    for cell in cells:
        assert text_of(cell).strip() and cell["execution_count"], cell_source(cell)


@by_name
def test_other_cells_keep_nothing(path):
    notebook = read(path)
    assert notebook == instructor_copy(notebook)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


@by_name
def test_student_copies_are_fresh(path):
    copy = INSTRUCTOR.parent / path.name
    text = as_text(student_copy(read(path), path.name))
    assert copy.read_text(encoding="utf-8") == text, (
        "stale: run python -m labkit.course.release.student_notebooks"
    )


@by_name
def test_student_copies_hold_no_solution_and_no_output(path):
    notebook = read(INSTRUCTOR.parent / path.name)
    sources = "\n".join(map(cell_source, code(notebook)))
    assert "SOLUTION" not in sources and "NBVAL" not in sources
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code(notebook))
    solutions = SOLUTION.findall("\n".join(map(cell_source, code(read(path)))))
    assert sources.count("raise NotImplementedError") == len(solutions)


@by_name
def test_each_exercise_is_where_its_check_is(path):
    number = int(path.name[:2])
    exercises = exercises_of(number) if number in TOPICS else {}
    cells = [cell_source(cell) for cell in code(read(path))]
    points = {}
    for answer, check in zip(cells, cells[1:]):
        header = EXERCISE.match(answer)
        if header:
            exercise = exercises[header[1]]
            points[header[1]] = int(header[2])
            assert f"def {exercise.function}(" in answer and "# BEGIN SOLUTION" in answer
            assert check == f'{CHECKED}check("{exercise.id}", {exercise.function})'
    assert points == {id: exercise.points for id, exercise in exercises.items()}


@by_name
def test_an_exercise_is_in_the_section_of_its_number(path):
    section, ids, numbered = "", [], []
    for cell in read(path)["cells"]:
        for line in cell_source(cell).splitlines():
            if line.startswith("## "):
                section = line.split()[1]
                numbered += [section] if re.fullmatch(r"\d\.\d", section) else []
            elif header := EXERCISE.match(line):
                assert section == header[1]
                ids.append(section)
    number = int(path.name[:2])
    written = [id for id in written_tasks() if int(id[0]) == number]
    assert ids == (list(exercises_of(number)) if number in TOPICS else [])
    assert numbered == [*ids, *written]


def test_the_readme_says_what_each_notebook_is_worth():
    readme = (INSTRUCTOR.parents[1] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `0(\d)_\w+` \|.*\| (\d+) \|$", readme, re.MULTILINE)
    points = {number: sum(one.points for one in exercises_of(number).values()) for number in TOPICS}
    assert {int(number): int(sum_) for number, sum_ in rows} == points


@by_name
def test_solutions_are_right_and_short(path):
    for cell in code(read(path)):
        header = EXERCISE.match(cell_source(cell))
        if header:
            body = re.search(
                r"# BEGIN SOLUTION\n(.*?)# END SOLUTION", cell_source(cell), re.DOTALL
            )[1]
            assert len(body.rstrip().splitlines()) <= 15
            exercise, scope = get_exercise(header[1]), {}
            exec("import numpy as np, torch\n" + cell_source(cell), scope)
            verdict = try_answer(exercise, scope[exercise.function], seeds=range(10))
            assert verdict.passed, verdict.message


@by_name
def test_opens_and_closes_as_a_lesson(path):
    cells = read(path)["cells"]
    opening, closing = cell_source(cells[0]), cell_source(cells[-1])
    assert "you can" in opening and "minute" in opening
    assert "What you have learned" in closing and "arxiv.org" in closing
    assert sum("Commit to a prediction" in cell_source(cell) for cell in cells) >= 1


def test_each_written_task_says_what_its_points_are_for_and_has_a_place_for_the_answer():
    cells = [cell_source(cell) for cell in read(INSTRUCTOR / "08_project.ipynb")["cells"]]
    tasks = written_tasks()
    assert list(tasks) == [f"8.{i}" for i in range(1, 8)]
    table = dict(re.findall(r"^\| (8\.\d) \| (\d+) \|", cells[0], re.MULTILINE))
    assert {id: int(points) for id, points in table.items()} == {
        id: task.points for id, task in tasks.items()
    }
    for task in tasks.values():
        begin = next(i for i, text in enumerate(cells) if f"## {task.id} {task.title}" in text)
        rubric = next(i for i, text in enumerate(cells) if i > begin and "**Write**" in text)
        points = re.findall(r"^- (\d+) points?: ", cells[rubric], re.MULTILINE)
        assert sum(map(int, points)) == task.points
        assert cells[rubric + 1].startswith(f"*{task.id}: double-click here")


def test_all_notebooks_have_one_bootstrap_cell_and_it_comes_first():
    assert len(NOTEBOOKS) == 9
    first = {cell_source(code(read(path))[0]) for path in NOTEBOOKS}
    assert len(first) == 1 and "git" in next(iter(first))
    for path in NOTEBOOKS:  # and only there is the course fetched
        assert sum('"git", "clone"' in cell_source(cell) for cell in code(read(path))) == 1


@by_name
def test_few_names_are_bound_beside_the_students_own(path):
    names = set()
    for cell in code(read(INSTRUCTOR.parent / path.name)):
        module = symtable.symtable(cell_source(cell), path.name, "exec")
        symbols = module.get_symbols()
        names |= {each.get_name() for each in symbols if each.is_assigned() or each.is_imported()}
    assert len(names) <= 90, sorted(names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_files_that_a_notebook_names_are_in_a_release(path):
    texts = "\n".join(map(cell_source, student_copy(read(path), path.name)["cells"]))
    named = re.findall(r"\b(?:benchmarks|data|docs|labkit|tests)/[\w./-]*\w\.\w+", texts)
    assert not [name for name in named if not any(fnmatchcase(name, each) for each in COPIED)]


def test_notebooks_share_nothing():
    path = NOTEBOOKS[0]
    for make in (student_copy, instructor_copy, lambda notebook: new_notebook([])):
        first, second = make(read(path)), make(read(path))
        first["metadata"]["language_info"]["version"] = "3"
        assert second == make(read(path)) != first


# ---- the generator -------------------------------------------------------------------------------


def test_solutions_are_replaced_at_their_indentation():
    text = (
        "def f(x):\n    # BEGIN SOLUTION\n    y = x\n    return y\n    # END SOLUTION\n\ndef g():\n"
        "    return 1\n"
    )
    assert (
        without_solution(text)
        == "def f(x):\n    raise NotImplementedError\n\ndef g():\n    return 1\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "# BEGIN SOLUTION\nx = 1",
        "x = 1\n# END SOLUTION",
        "    # BEGIN SOLUTION\n    x\n# END SOLUTION",
    ],
)
def test_unpaired_markers_are_refused(text):
    with pytest.raises(ValueError, match="pair up"):
        without_solution(text)


def test_a_notebook_that_is_not_there_is_named_before_anything_is_written(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "instructor").mkdir()
    (tmp_path / "instructor" / "04_evolutionary_search.ipynb").write_text(json.dumps({"cells": []}))
    monkeypatch.setattr(student, "INSTRUCTOR", tmp_path / "instructor")
    monkeypatch.setattr(sys, "argv", ["student", "--run", "04_evolution"])
    with pytest.raises(SystemExit):
        student.main()
    assert "no notebook '04_evolution', only 04_evolutionary_search" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.ipynb"))


# ---- what the text quotes ------------------------------------------------------------------------


def test_texts_say_of_the_small_microcontroller_what_its_file_and_the_arena_say():
    text = {path.stem[:2]: "".join(map(cell_source, read(path)["cells"])) for path in NOTEBOOKS}
    space, costs = get_space("fmnist"), DeviceCosts(get_space("fmnist"), get_device("mcu-64k"))
    sram, flash = costs.device.sram_bytes, costs.device.flash_bytes
    assert f"has {sram / 1024:g} KiB of memory (SRAM)" in text["04"]
    assert f"{flash / 1024:g} KiB for its weights (flash)" in text["04"]

    def notes(arch):  # persistent buffers of the interpreter
        return costs.of(arch)["sram_bytes"] - costs.of(arch)["peak_memory_bytes"]

    request = re.search(r'"(mcu-64k:\d+%)"', text["05"])[1]
    assert "The largest subnet needs too much" in text["05"]
    limit = Request.parse(request).budget_ms(costs, seed=0)
    predict = TrainedSupernet(space).predictor.predict
    budgets = costs.budgets(latency_ms=limit)
    example = search_subnet(space, predict, budgets, method="exact").arch
    assert costs.of(space.largest())["peak_memory_bytes"] > sram - notes(example)
    assert "those on the largest subnet alone are more than the microcontroller has" in text["05"]
    assert notes(space.largest()) > sram


# ---- nbval ---------------------------------------------------------------------------------------


def nbval(path, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbval-lax",
            "--nbval-current-env",
            "-p",
            "no:cacheprovider",
            str(path),
        ],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@by_name
def test_instructor_notebooks_pass_nbval_from_anywhere(path, tmp_path):
    result = nbval(path, tmp_path)
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.slow
@by_name
def test_no_checked_output_can_be_altered_unnoticed(path, tmp_path):
    notebook = read(path)
    for cell in checked(notebook):
        for output in cell["outputs"]:
            if "text" in output:
                output["text"] = ["altered\n"]
            elif "text/plain" in output["data"]:
                output["data"]["text/plain"] = ["altered"]
    copy = tmp_path / path.name
    copy.write_text(as_text(notebook), encoding="utf-8")
    result = nbval(copy, tmp_path)
    assert f"{len(checked(notebook))} failed" in result.stdout, result.stdout[-3000:]


@pytest.mark.slow
def test_unsolved_notebooks_run_to_their_end_and_their_checks_fail(tmp_path):
    path = INSTRUCTOR.parent / "04_evolutionary_search.ipynb"
    result = nbval(path, tmp_path)
    failed = len(exercises_of(4))
    assert f"{failed} failed" in result.stdout and result.stdout.count("not solved yet") >= failed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["00_tour", "04_evolutionary_search", "05_specialized_deployment"])
def test_a_notebook_runs_on_the_other_supernet_without_its_images(name, tmp_path, monkeypatch):
    notebook = read(INSTRUCTOR / f"{name}.ipynb")
    (choice,) = (cell for cell in code(notebook) if cell_source(cell).startswith("SUPERNET = "))
    choice["source"] = ['SUPERNET = "cifar10"']
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))  # where no images are
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nor can they be downloaded
    path = tmp_path / f"{name}.ipynb"
    path.write_text(as_text(notebook), encoding="utf-8")
    run = student.run(path)
    assert [text_of(cell) for cell in checked(run)] != [text_of(cell) for cell in checked(notebook)]


SMALL = {"a": "# NBVAL_CHECK_OUTPUT\nprint(6 * 7)", "b": "# NBVAL_CHECK_OUTPUT\n'x' * 3"}


@pytest.mark.slow
@pytest.mark.parametrize("harm", [None, "altered", "count stripped"])
def test_nbval_notices_altered_and_stripped_outputs(harm, tmp_path):
    cells = [new_code_cell(id, text) for id, text in SMALL.items()]
    path = tmp_path / "small.ipynb"
    path.write_text(as_text(new_notebook(cells)))
    notebook = student.run(path)
    assert [cell["execution_count"] for cell in notebook["cells"]] == [1, 2]
    if harm == "altered":
        notebook["cells"][0]["outputs"][0]["text"] = "43\n"
    if harm == "count stripped":
        notebook["cells"][1]["execution_count"] = None
    path.write_text(as_text(notebook))
    assert (nbval(path, tmp_path).returncode == 0) == (harm is None)
