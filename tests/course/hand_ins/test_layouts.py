"""A class as each platform lets one download it, and what it must not be taken for."""

import unicodedata

import pytest
from grading_for_tests import cells_of, notebook, solutions, write
from hypothesis import given
from hypothesis import strategies as st
from platforms_for_tests import canvas_name, gradescope_metadata, moodle_name, packed

from labkit.course.hand_ins.collect import collect
from labkit.course.hand_ins.layouts import course_name, layouts
from labkit.course.handout.notebook_file import as_text

ANSWERS = solutions(1)
FILE = "01_supernet.ipynb"


def content(number):
    """A notebook of its own for each student, with one answer."""
    return as_text(notebook(cells_of({"1.3": f"{ANSWERS['1.3']}\n# {number}"})))


def owners(platform, names):
    layout = next(one for one in layouts() if one.platform == platform)
    return layout.owners(names)


def rows(path, **how):
    return {
        one.student: (one.id, sorted(one.submission.answers))
        for one in collect([path], **how).hand_ins
    }


# ---- names ---------------------------------------------------------------------------------------


@given(
    st.text(st.characters(whitelist_categories=["L", "Zs"]), max_size=30).filter(str.strip),
    st.integers(1, 10**8),
    st.integers(1, 10**9),
    st.booleans(),
    st.text(st.characters(blacklist_characters="/\0\n", codec="utf-8"), min_size=1, max_size=40),
)
def test_whose_a_file_of_canvas_is_does_not_depend_on_what_the_student_called_it(
    name, user, attachment, late, file
):
    name = canvas_name(name, user, attachment, file, late)
    owner = owners("canvas", [name])[name]
    assert (owner.id, owner.version, owner.late) == (str(user), attachment, late)


@pytest.mark.parametrize(
    "name, owner",
    [
        ("doejane_12_345_01_supernet-2.ipynb", ("doejane", "12", False)),
        ("doejane_LATE_12_345_work_9_9_x.ipynb", ("doejane", "12", True)),
        ("anon_x7F3k_345_01_supernet.ipynb", ("anon_x7F3k", "anon_x7F3k", False)),
        ("doejane_12_text.html", ("doejane", "12", False)),
    ],
)
def test_names_of_canvas(name, owner):
    parsed = owners("canvas", [name])[name]
    assert (parsed.name or parsed.id, parsed.id, parsed.late) == owner


def test_numbers_that_are_not_those_of_uploads_make_no_platform(tmp_path):
    for student in ("anna", "ben", "carl"):
        write(tmp_path / f"lab_1_2_{student}.ipynb", cells_of(ANSWERS))
    assert set(rows(tmp_path)) == {"lab_1_2_anna", "lab_1_2_ben", "lab_1_2_carl"}


@pytest.mark.parametrize(
    "name",
    [
        "01_supernet.ipynb",
        "Copy of 01_supernet.ipynb",
        "Copy of Copy of 01_supernet (1).ipynb",
        "01_supernet-Copy1.ipynb",
        "01_supernet - Copy (2).ipynb",
        "01_supernet(3).ipynb.txt",
        "01_supernet-2.IPYNB",
        "Kopie von 01_supernet.ipynb",
    ],
)
def test_copies_are_called_like_the_notebook(name):
    assert course_name(name) == "01_supernet"


# ---- classes of 30 -------------------------------------------------------------------------------

STUDENTS = [f"Zoë{chr(97 + i % 26)} Mü_ller{i}" for i in range(30)]


def canvas_class(folder):
    files = {}
    for i, name in enumerate(STUDENTS):
        file = f"01_supernet-{i}.ipynb" if i % 2 else f"my work {i}.ipynb"
        files[canvas_name(name, 1000 + i, 5000 + i, file, late=i == 3)] = content(i)
    # the first uploaded again after this zip's first half: the later upload counts
    files[canvas_name(STUDENTS[1], 1001, 4000, "01_supernet.ipynb")] = content("old")
    files[canvas_name(STUDENTS[2], 1002, 6002, "answers.pdf")] = b"%PDF"
    (folder / "submissions.zip").write_bytes(packed(files))
    return folder / "submissions.zip", {str(1000 + i) for i in range(30)}


def moodle_class(folder):
    for i, name in enumerate(STUDENTS):
        path = folder / "in" / moodle_name(name, 700 + i, FILE, folders=i % 2 == 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content(i), encoding="utf-8")
    return folder / "in", {str(700 + i) for i in range(30)}


def gradescope_class(folder):
    root = folder / "export" / "assignment_77_export"
    metadata = {}
    for i, name in enumerate(STUDENTS):
        place = root / f"submission_{900 + i}"
        place.mkdir(parents=True)
        (place / FILE).write_text(content(i), encoding="utf-8")
        people = [(name, f"s{i}", f"s{i}@uni.edu")]
        metadata[place.name] = (people, f"2026-11-{1 + i % 28:02} 12:00:00.123 Z")
    (root / "submission_metadata.yml").write_text(gradescope_metadata(metadata), encoding="utf-8")
    return folder / "export", {f"s{i}" for i in range(30)}


CLASSES = {"canvas": canvas_class, "moodle": moodle_class, "gradescope": gradescope_class}


@pytest.mark.parametrize("platform", CLASSES)
def test_a_class_of_30_has_30_rows_with_the_platforms_ids(platform, tmp_path):
    path, ids = CLASSES[platform](tmp_path)
    students = rows(path)
    assert len(students) == 30 and {id for id, _ in students.values()} == ids
    assert all(answers == ["1.3"] for _, answers in students.values())


def test_of_two_uploads_to_canvas_the_later_counts_and_the_other_is_named(tmp_path):
    path, _ = canvas_class(tmp_path)
    collection = collect([path])
    student = next(one for one in collection.hand_ins if one.id == "1001")
    assert student.submission.answers["1.3"].endswith(
        "# 1"
    ) and not student.submission.problems.get("1.3")
    reasons = {one.path.rpartition("/")[2]: one.reason for one in collection.not_graded}
    assert any("earlier version" in reason for reason in reasons.values())
    assert any(path.endswith("answers.pdf") for path in reasons)
    assert sum(one.late for one in collection.hand_ins) == 1


def test_two_notebooks_with_numbers_are_not_two_versions_of_one(tmp_path):
    second = as_text(notebook(cells_of(solutions(2))))
    files = {
        "doejane_12_100_work-1.ipynb": content(1),
        "doejane_12_101_work-2.ipynb": second,
    }
    (tmp_path / "submissions.zip").write_bytes(packed(files))
    ((_, answers),) = rows(tmp_path / "submissions.zip").values()
    assert answers == sorted(["1.3", *solutions(2)])


def test_students_of_one_name_are_told_apart_by_their_ids(tmp_path):
    for id in (11, 12):
        (tmp_path / f"Jane Doe_{id}_assignsubmission_file_").mkdir()
        (tmp_path / f"Jane Doe_{id}_assignsubmission_file_" / FILE).write_text(content(id))
    assert set(rows(tmp_path)) == {"Jane Doe (11)", "Jane Doe (12)"}


def test_nobody_hands_in_under_another_name_from_inside_a_folder(tmp_path):
    for name, file in (
        ("Jane Doe_11", FILE),
        ("Eve_12", "Jane Doe_11_assignsubmission_file_x.ipynb"),
    ):
        folder = tmp_path / f"{name}_assignsubmission_file_"
        folder.mkdir()
        (folder / file).write_text(content(name), encoding="utf-8")
    students = rows(tmp_path)
    assert students == {"Jane Doe": ("11", ["1.3"]), "Eve": ("12", ["1.3"])}


def test_a_groups_submission_to_gradescope_is_a_row_for_each_member(tmp_path):
    (tmp_path / "submission_5").mkdir()
    (tmp_path / "submission_5" / FILE).write_text(content(5), encoding="utf-8")
    people = [("Pair One", "200", "one@uni.edu"), ("Pair Two", "201", "two@uni.edu")]
    metadata = gradescope_metadata({"submission_5": (people, "2026-11-20 12:00:00 Z")})
    (tmp_path / "submission_metadata.yml").write_text(metadata)
    hand_ins = collect([tmp_path]).hand_ins
    assert [(one.student, one.id, one.submitted) for one in hand_ins] == [
        ("Pair One", "200", "2026-11-20T12:00:00+00:00"),
        ("Pair Two", "201", "2026-11-20T12:00:00+00:00"),
    ]


# ---- Drive, GitHub, nbgrader ---------------------------------------------------------------------


def test_three_students_in_one_folder_of_drive_are_three_rows(tmp_path):
    for i, name in enumerate((FILE, "01_supernet (1).ipynb", f"Copy of {FILE}")):
        (tmp_path / name).write_text(content(i), encoding="utf-8")
    hand_ins = collect([tmp_path]).hand_ins
    assert len(hand_ins) == 3
    assert all("other versions of 01_supernet" in one.notes[0] for one in hand_ins)


def test_the_same_notebook_twice_is_one_student(tmp_path):
    for name in (FILE, "01_supernet (1).ipynb"):
        (tmp_path / name).write_text(content(1), encoding="utf-8")
    assert [answers for _, answers in rows(tmp_path).values()] == [["1.3"]]


def test_names_before_the_notebooks_name_are_students(tmp_path):
    second = as_text(notebook(cells_of(solutions(2))))
    for name, text in (
        (f"Jane Doe - {FILE}", content(1)),
        ("Jane Doe - Copy of 02_progressive_shrinking.ipynb", second),
        (f"Ben - Copy of {FILE}", content(2)),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    students = rows(tmp_path)
    assert {name: len(answers) for name, (_, answers) in students.items()} == {
        "Ben": 1,
        "Jane Doe": 1 + len(solutions(2)),
    }


def test_one_notebook_of_many_in_a_repository_of_github_classroom(tmp_path):
    for name in ("lab-anna", "lab-ben"):
        place = tmp_path / "lab-submissions" / name
        (place / "notebooks").mkdir(parents=True)
        (place / ".git").mkdir()
        (place / "README.md").write_text("the course")
        write(place / "notebooks" / "01_supernet.ipynb", cells_of(ANSWERS))
        write(place / "notebooks" / "02_progressive_shrinking.ipynb", cells_of(solutions(2)))
    collection = collect([tmp_path / "lab-submissions"], only_notebook=1)
    assert [one.student for one in collection.hand_ins] == ["lab-anna", "lab-ben"]
    assert all(one.submission.notebooks == (1,) for one in collection.hand_ins)
    reasons = [one.reason for one in collection.not_graded]
    assert sorted(set(reasons)) == ["hidden", "not a notebook", "without exercises of 1"]
    assert len(reasons) == 6


def test_nbgraders_submitted_folder_has_a_row_a_student(tmp_path):
    for name in ("anna", "ben"):
        place = tmp_path / "submitted" / name / "lab1"
        place.mkdir(parents=True)
        (place / "timestamp.txt").write_text("2026-11-20 12:00:00.000000 UTC")
        write(place / "01_supernet.ipynb", cells_of(ANSWERS))
    assert {name: len(answers) for name, (_, answers) in rows(tmp_path / "submitted").items()} == {
        "anna": 5,
        "ben": 5,
    }


def test_composed_and_decomposed_names_are_one_name(tmp_path):
    for form, folder in (("NFC", "a"), ("NFD", "b")):
        (tmp_path / folder).mkdir()
        name = unicodedata.normalize(form, "José Muñoz")
        (tmp_path / folder / f"{name}.ipynb").write_text(content(form), encoding="utf-8")
    hand_ins = collect([tmp_path / "a", tmp_path / "b"]).hand_ins
    assert [one.student for one in hand_ins] == ["José Muñoz", "José Muñoz #2"]
    assert all("2 hand-ins have this name" in one.notes[0] for one in hand_ins)


def test_names_that_some_file_systems_take_for_one_are_told_apart(tmp_path):
    for place, name in (("a", "Anna"), ("b", "anna")):
        (tmp_path / place).mkdir()
        (tmp_path / place / f"{name}.ipynb").write_text(content(name), encoding="utf-8")
    students = list(rows(tmp_path / "a")) + list(rows(tmp_path / "b"))
    together = [one.student for one in collect([tmp_path / "a", tmp_path / "b"]).hand_ins]
    assert students == ["Anna", "anna"] and len({name.casefold() for name in together}) == 2


def test_every_file_is_graded_or_named(tmp_path):
    (tmp_path / "anna").mkdir()
    write(tmp_path / "anna" / FILE, cells_of(ANSWERS))
    for name in ("anna/notes.txt", "anna/data.rar", "ben.pdf", "readme.md", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    write(tmp_path / "carl.ipynb", [("code", "1 + 1")])
    named = {
        one.path.removeprefix(f"{tmp_path.name}/"): one.reason
        for one in collect([tmp_path]).not_graded
    }
    assert named == {
        "anna/notes.txt": "not a notebook",
        "anna/data.rar": "an archive that is not a zip",
        "ben.pdf": "not a notebook",
        "readme.md": "not a notebook",
        ".DS_Store": "hidden",
        "carl: carl.ipynb": "a notebook without an exercise's comment",
    }
