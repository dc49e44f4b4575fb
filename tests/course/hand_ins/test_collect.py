"""Which student handed in what."""

import subprocess
import sys

import pytest
from grading_for_tests import cells_of, solutions, write

from labkit.course.hand_ins.collect import collect

ANSWERS = solutions(1)


def names(*paths, **how):
    return {one.student: sorted(one.submission.answers) for one in collect(paths, **how).hand_ins}


def test_students_are_folders_files_or_the_folder_itself(tmp_path):
    first, fourth = cells_of(ANSWERS), cells_of(solutions(4))
    folder = tmp_path / "all"
    for place in ("anna/deep/er", "ben", "ben/.ipynb_checkpoints", "__MACOSX", "empty"):
        (folder / place).mkdir(parents=True)
    write(folder / "anna/deep/er/work.ipynb", first)
    write(folder / "ben/01_supernet.ipynb", first)
    write(folder / "ben/04_evolutionary_search (1).ipynb", fourth)
    write(folder / "ben/.ipynb_checkpoints/01_supernet-checkpoint.ipynb", first[:1])
    write(folder / "__MACOSX/x.ipynb", first)
    write(folder / "carl.ipynb", fourth)
    both = sorted([*ANSWERS, *solutions(4)])
    assert names(folder) == {
        "anna": sorted(ANSWERS),
        "ben": both,
        "carl": sorted(solutions(4)),
        "empty": [],
    }
    assert names(folder / "ben", folder / "carl.ipynb") == {
        "ben": both,
        "carl": sorted(solutions(4)),
    }
    assert names(folder, leave_out=[folder / "ben"]).keys() == {"anna", "carl", "empty"}
    assert list(names(folder / "carl.ipynb", folder / "carl.ipynb")) == ["carl", "carl #2"]
    with pytest.raises(ValueError, match="nowhere is not there"):
        collect([tmp_path / "nowhere"])


def test_a_course_notebook_beside_folders_of_students_does_not_make_the_class_one_student(tmp_path):
    for place in ("anna", "ben", "empty"):
        (tmp_path / place).mkdir()
    for name in ("01_supernet", "anna/01_supernet", "ben/01_supernet (1)"):
        write(tmp_path / f"{name}.ipynb", cells_of(ANSWERS))
    hand_ins = {one.student: one for one in collect([tmp_path]).hand_ins}
    assert set(hand_ins) == {"01_supernet", "anna", "ben", "empty"}
    assert (
        "beside folders with notebooks" in hand_ins["01_supernet"].notes[0]
        and not hand_ins["anna"].notes
    )


def test_sub_folders_without_notebooks_leave_a_folder_one_student(tmp_path):
    for place in ("data", "runs/1", ".ipynb_checkpoints", ".backup", "__MACOSX"):
        (tmp_path / "ben" / place).mkdir(parents=True)
    for name in (
        "01_supernet",
        ".ipynb_checkpoints/01_supernet-checkpoint",
        ".backup/01_supernet",
        "__MACOSX/x",
    ):
        write(tmp_path / f"ben/{name}.ipynb", cells_of(ANSWERS))
    (tmp_path / "ben/data/images.npz").write_bytes(b"")
    assert names(tmp_path / "ben") == {"ben": sorted(ANSWERS)}


def test_no_two_hand_ins_get_one_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a #2").mkdir()
    write(tmp_path / "a.ipynb", cells_of(ANSWERS))
    write(tmp_path / "a #2" / "work.ipynb", cells_of({"1.3": ANSWERS["1.3"]}))
    assert names(tmp_path) == {"a": [], "a #2": ["1.3"], "a #3": sorted(ANSWERS)}
    students = [one.student for one in collect([tmp_path, tmp_path]).hand_ins]
    assert students == ["a", "a #2", "a #2 #2", "a #3", "a #4", "a #5"]


def test_links_out_of_the_folder_are_named_and_not_followed(tmp_path):
    secret, folder = tmp_path / "secret", tmp_path / "all"
    secret.mkdir()
    (folder / "eve").mkdir(parents=True)
    write(secret / "solution.ipynb", cells_of(ANSWERS))
    (folder / "eve/mine.ipynb").symlink_to(secret / "solution.ipynb")
    (folder / "eve/sub").symlink_to(secret)
    (folder / "fay.ipynb").symlink_to(secret / "solution.ipynb")
    (folder / "gus").symlink_to(secret)
    hand_ins = {one.student: one for one in collect([folder, folder / "gus"]).hand_ins}
    assert set(hand_ins) == {"eve", "fay", "gus", "gus #2"}
    assert all(
        not one.submission.answers and any("link" in note for note in one.notes)
        for one in hand_ins.values()
    )


def test_reading_needs_nothing_that_was_imported_before(tmp_path):
    """What is read in a process with little memory must not have to import torch there."""
    write(tmp_path / "anna.ipynb", cells_of(ANSWERS))
    program = (
        "import sys; from pathlib import Path; from labkit.course.hand_ins.collect import collect;"
        " (one,) = collect([Path(sys.argv[1])]).hand_ins; print(one.notes, *one.submission.answers)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["()", *ANSWERS]
