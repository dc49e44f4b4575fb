"""Reading what was handed in: formats and damage, and which cell is the answer to what."""

import json
import os

import pytest
from grading_for_tests import cells_of, notebook, solutions, write

from labkit.course.checking.submission import find_answers
from labkit.course.checking.submitted_file import (
    MAX_NOTEBOOK_BYTES,
    NotANotebook,
    parse,
    read_notebook,
)
from labkit.course.grading.hand_ins import collect
from labkit.course.handout.pristine_course import unsolved_cells

ANSWERS = solutions(1)
STUBS = unsolved_cells(1)


# ---- files ---------------------------------------------------------------------------------------


def as_bytes(value):
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\x89PNG\r\n\x1a\n\xff", "UTF-8"),
        (b"[" * 200_000, "JSON"),
        (b"[]", "no cells"),
        (b'"text"', "no cells"),
        (as_bytes({"nbformat": 4}), "no cells"),
        (as_bytes({"cells": 3, "nbformat": 4}), "no cells"),
        (as_bytes({"cells": [], "nbformat": 5}), "format 5"),
        (as_bytes({"cells": [], "nbformat": "four"}), "format four"),
        (as_bytes({"cells": [], "nbformat": True}), "format True"),
        (as_bytes({"cells": []}), "format None"),
        (as_bytes({"worksheets": [{"cells": []}], "nbformat": 3}), "format 3"),
        (b'{"a": ' + b"9" * 5000 + b"}", "JSON"),
        ("{}".encode("utf-16"), "UTF-8"),
    ],
    ids=range(15),
)
def test_what_is_no_notebook_is_named_and_raises_nothing_else(content, message):
    with pytest.raises(NotANotebook, match=message):
        parse(content)


@pytest.mark.parametrize("minor", [2, 3, 4, 5])
@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize(
    "line_end, bom", [("\n", ""), ("\r\n", ""), ("\n", "\ufeff"), ("\r\n", "\ufeff")]
)
def test_formats_line_ends_and_byte_order_marks_change_nothing(minor, ids, line_end, bom):
    cells = [(kind, source.replace("\n", line_end)) for kind, source in cells_of(ANSWERS)]
    text = bom + json.dumps(notebook(cells, minor=minor, ids=ids), indent=1).replace("\n", line_end)
    assert find_answers(parse(text.encode())).answers == ANSWERS


def test_sources_as_one_string_and_cells_that_are_none_are_read():
    book = notebook(cells_of(ANSWERS))
    for cell in book["cells"]:
        cell["source"] = "".join(cell["source"])
    book["cells"] += [None, 3, {"cell_type": "code"}, {"cell_type": "code", "source": {"a": 1}}, []]
    assert find_answers(parse(as_bytes(book))).answers == ANSWERS


def test_ten_thousand_cells_are_read():
    cells = [("code", "x = 1")] * 5000 + cells_of(ANSWERS) + [("code", ANSWERS["1.1"])] * 5000
    assert find_answers(parse(as_bytes(notebook(cells)))).answers == ANSWERS


def test_links_pipes_folders_and_giants_are_not_read(tmp_path):
    real = write(tmp_path / "real.ipynb", cells_of(ANSWERS))
    (tmp_path / "link.ipynb").symlink_to(real)
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    with open(tmp_path / "giant.ipynb", "wb") as file:
        file.truncate(MAX_NOTEBOOK_BYTES + 1)
    for name, message in (
        ("link", "link"),
        ("pipe", "not a file"),
        ("folder", "not a file"),
        ("giant", "at most"),
        ("none", "No such file"),
    ):
        with pytest.raises(NotANotebook, match=message):
            read_notebook(tmp_path / f"{name}.ipynb")
    assert find_answers(parse(read_notebook(real))).answers == ANSWERS


# ---- answers -------------------------------------------------------------------------------------


def replaced(id, *cells):
    return [
        cell
        for name, source in ANSWERS.items()
        for cell in (cells if name == id else [("code", source)])
    ]


def problem(*cells, id="1.2"):
    """The problem named for an exercise whose cell is replaced by `cells`; the others are found."""
    submission = find_answers(replaced(id, *cells))
    assert submission.answers == {name: source for name, source in ANSWERS.items() if name != id}
    return submission.problems[id]


BODY = ANSWERS["1.2"].split("\n", 1)[1]


def test_answers_are_found_wherever_they_were_moved():
    cells = [
        ("markdown", "# Exercise 1.2 (4 points)"),
        *reversed(cells_of(ANSWERS)),
        ("code", "print(1)"),
    ]
    submission = find_answers(cells)
    assert (
        submission.answers == ANSWERS and not submission.problems and submission.notebooks == (1,)
    )


@pytest.mark.parametrize(
    "comment",
    [
        "# Exercise 1.2 (4 points)",
        "#exercise 1.2",
        "   ##  EXERCISE 1.2: mine",
        "import math\n\n# Exercise 1.2 (4 points)",
        "%%time\n# Exercise 1.2",
    ],
)
def test_the_comment_may_look_different(comment):
    assert (
        find_answers(replaced("1.2", ("code", f"{comment}\n{BODY}"))).answers["1.2"].endswith(BODY)
    )


def test_missing_answers_are_named():
    assert problem().startswith("missing: no cell has the comment `# Exercise 1.2 (4 points)`")
    assert "one defines sort_channels; put the comment back" in problem(("code", BODY))
    assert "is a markdown cell" in problem(("markdown", ANSWERS["1.2"]))


def test_split_answers_are_named():
    head, tail = ANSWERS["1.2"].rsplit("\n", 2)[0], "    return expand, depthwise, project"
    for cells in (
        [("code", "# Exercise 1.2 (4 points)"), ("code", BODY)],
        [("code", head), ("code", tail)],
        [("code", "# Exercise 1.2 (4 points)\ndef helper(x):\n    return x"), ("code", BODY)],
    ):
        assert problem(*cells).startswith("split: the answer goes on in the cell after")


def test_two_different_answers_are_named_and_copies_are_not():
    other = ANSWERS["1.2"].replace("descending=True", "descending=False")
    assert problem(("code", ANSWERS["1.2"]), ("code", other)).startswith(
        "duplicated: 2 different cells"
    )
    for copy in (ANSWERS["1.2"], ANSWERS["1.2"] + "\n\n", STUBS["1.2"]):
        assert not find_answers(replaced("1.2", ("code", copy), ("code", ANSWERS["1.2"]))).problems


def test_two_exercises_in_one_cell_are_both_found():
    both = ANSWERS["1.2"] + "\n\n" + ANSWERS["1.3"]
    submission = find_answers(
        [("code", both), *[("code", ANSWERS[id]) for id in ("1.1", "1.4", "1.5")]]
    )
    assert (
        submission.answers["1.2"] == submission.answers["1.3"] == both and not submission.problems
    )


def test_exercises_that_do_not_exist_are_noted():
    submission = find_answers(
        [*cells_of(ANSWERS), ("code", "# Exercise 1.77 (9 points)\n"), ("code", "# Exercise 99.1")]
    )
    assert submission.answers == ANSWERS and "1.77, 99.1" in submission.notes[0]


# ---- students ------------------------------------------------------------------------------------


def names(*paths, **how):
    return {one.student: sorted(one.submission.answers) for one in collect(paths, **how)}


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
    hand_ins = {one.student: one for one in collect([tmp_path])}
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
    students = [one.student for one in collect([tmp_path, tmp_path])]
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
    hand_ins = {one.student: one for one in collect([folder, folder / "gus"])}
    assert set(hand_ins) == {"eve", "fay", "gus", "gus #2"}
    assert all(
        not one.submission.answers and any("link" in note for note in one.notes)
        for one in hand_ins.values()
    )
