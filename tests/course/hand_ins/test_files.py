"""Zips as folders, and the bounds of what is read from them."""

import io
import stat
import struct
import zipfile

import pytest
from grading_for_tests import cells_of, notebook, solutions
from platforms_for_tests import packed

from labkit.course.checking.submitted_file import NotANotebook
from labkit.course.hand_ins import files
from labkit.course.hand_ins.collect import collect
from labkit.course.hand_ins.files import entries_below
from labkit.course.handout.notebook_file import as_text

NOTEBOOK = as_text(notebook(cells_of(solutions(1))))


def below(folder):
    """Reason by path of what is not graded, and the notebooks."""
    entries = entries_below(folder, set())
    reasons = {str(one.path): one.reason for one in entries if one.reason}
    return reasons, [one for one in entries if one.read]


def students(path):
    return {one.student: len(one.submission.answers) for one in collect([path]).hand_ins}


def test_a_zip_is_a_student_in_a_folder_and_a_class_as_an_argument(tmp_path):
    (tmp_path / "anna.zip").write_bytes(packed({"lab/01_supernet.ipynb": NOTEBOOK}))
    (tmp_path / "ben.zip").write_bytes(packed({"work.ipynb": NOTEBOOK, "a.png": b"x"}))
    assert students(tmp_path) == {"anna": 5, "ben": 5}
    everything = packed(
        {
            "hand-ins/anna.ipynb": NOTEBOOK,
            "hand-ins/ben/deep/work.ipynb": NOTEBOOK,
            "hand-ins/carl.zip": packed({"x/y.ipynb": NOTEBOOK}),
            "__MACOSX/hand-ins/._anna.ipynb": b"x",
        }
    )
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "class.zip").write_bytes(everything)
    assert students(tmp_path / "all" / "class.zip") == {"anna": 5, "ben": 5, "carl": 5}


def test_a_notebook_in_a_zip_is_read_as_the_file_is(tmp_path):
    (tmp_path / "anna.zip").write_bytes(packed({"work.ipynb": NOTEBOOK}))
    _, (entry,) = below(tmp_path)
    assert entry.read() == NOTEBOOK.encode()


@pytest.mark.parametrize(
    "name", ["../../x.ipynb", "/etc/x.ipynb", "a/../../x.ipynb", "C:\\x.ipynb"]
)
def test_names_that_lead_out_of_a_zip_are_not_read(name, tmp_path):
    (tmp_path / "eve.zip").write_bytes(packed({name: NOTEBOOK}))
    reasons, notebooks = below(tmp_path)
    assert not notebooks and "leads out of it" in reasons["eve.zip"]
    assert students(tmp_path) == {"eve": 0}


def test_links_in_a_zip_are_not_followed(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        link = zipfile.ZipInfo("01_supernet.ipynb")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    (tmp_path / "eve.zip").write_bytes(content.getvalue())
    reasons, notebooks = below(tmp_path)
    assert not notebooks and "link" in reasons["eve.zip/01_supernet.ipynb"]


def test_a_bomb_is_not_unpacked(tmp_path):
    bomb = b"0" * (files.MAX_NOTEBOOK_BYTES - 1)
    (tmp_path / "eve.zip").write_bytes(packed({"x.ipynb": bomb, "y.ipynb": NOTEBOOK}))
    reasons, notebooks = below(tmp_path)
    assert "times its size" in reasons["eve.zip/x.ipynb"] and len(notebooks) == 1


def test_a_zip_that_lies_about_a_size_is_cut_off(tmp_path, monkeypatch):
    """The size in the directory is what bounds are decided by; what comes out is bounded again."""
    monkeypatch.setattr(files, "MAX_NOTEBOOK_BYTES", 1000)
    honest = packed({"x.ipynb": b"0" * 5000})
    lying = honest.replace(struct.pack("<L", 5000), struct.pack("<L", 500))
    (tmp_path / "eve.zip").write_bytes(lying)
    _, (entry,) = below(tmp_path)
    with pytest.raises(NotANotebook):
        entry.read()


def test_more_files_than_are_read_and_deeper_zips_are_named(tmp_path, monkeypatch):
    inner = packed({"a.zip": packed({"b.zip": packed({"x.ipynb": NOTEBOOK})})})
    (tmp_path / "deep.zip").write_bytes(inner)
    reasons, notebooks = below(tmp_path)
    assert not notebooks and "zip in a zip" in reasons["deep.zip/a.zip/b.zip"]
    monkeypatch.setattr(files, "MAX_FILES", 10)
    (tmp_path / "deep.zip").unlink()
    (tmp_path / "many.zip").write_bytes(packed({f"{i}.ipynb": b"" for i in range(11)}))
    reasons, notebooks = below(tmp_path)
    assert not notebooks and "more than 10 files" in reasons["many.zip"]
    (tmp_path / "many.zip").unlink()
    (tmp_path / "folder").mkdir()
    for i in range(20):
        (tmp_path / "folder" / f"{i}.txt").write_text("")
    reasons, _ = below(tmp_path)
    assert "more than 10 files" in reasons["folder"] and len(reasons) == 10


def test_all_notebooks_of_a_zip_together_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 2 * len(NOTEBOOK))
    (tmp_path / "eve.zip").write_bytes(packed({f"{i}.ipynb": NOTEBOOK for i in range(3)}))
    reasons, notebooks = below(tmp_path)
    assert len(notebooks) == 2 and "with what is before it" in reasons["eve.zip/2.ipynb"]


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + b"\xff" * 18, b"\0" * 4000])
def test_what_is_no_zip_is_named_and_the_student_has_a_row(content, tmp_path):
    (tmp_path / "eve.zip").write_bytes(content)
    reasons, _ = below(tmp_path)
    assert "cannot be read" in reasons["eve.zip"]
    (student,) = collect([tmp_path]).hand_ins
    assert student.student == "eve" and "cannot be read" in student.notes[0]


def test_encrypted_and_oddly_packed_files_are_named(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("odd.ipynb", NOTEBOOK, zipfile.ZIP_LZMA)
    (tmp_path / "a.zip").write_bytes(content.getvalue())
    encrypted = bytearray(packed({"x.ipynb": NOTEBOOK}))
    directory = encrypted.rfind(b"PK\x01\x02")
    encrypted[directory + 8] |= 1
    (tmp_path / "b.zip").write_bytes(bytes(encrypted))
    reasons, notebooks = below(tmp_path)
    assert not notebooks and reasons["b.zip/x.ipynb"] == "encrypted"
    assert "not read" in reasons["a.zip/odd.ipynb"]


def test_a_path_longer_than_the_system_takes_stops_nobody(tmp_path):
    place = tmp_path / "eve"
    place.mkdir()
    for _ in range(files.MAX_DEPTH + 5):
        place = place / ("x" * 100)
        place.mkdir()
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "a.ipynb").write_text(NOTEBOOK, encoding="utf-8")
    assert students(tmp_path) == {"anna": 5, "eve": 0}
    assert any("folders" in reason for reason in below(tmp_path)[0].values())
