"""The archive for Gradescope: what is in it, and, slowly, what it makes of a submission."""

import json
import re
import subprocess
import sys
import zipfile

import pytest
from click.testing import CliRunner
from grading_for_tests import cells_of, solutions, write
from platforms_for_tests import gradescope_import

from labkit.cli import cli
from labkit.course.handout.notebook_file import cell_source, read
from labkit.course.handout.student_copy import INSTRUCTOR
from labkit.course.release.contents import ReleaseError
from labkit.course.release.gradescope import write_autograder


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("gradescope") / "autograder.zip"
    assert write_autograder(path, 1, 42) == 42
    return path


def test_what_gradescope_needs_is_at_the_root_and_executable(archive):
    with zipfile.ZipFile(archive) as packed:
        for name in ("setup.sh", "run_autograder"):
            assert packed.getinfo(name).external_attr >> 16 & 0o111 == 0o111
            assert packed.read(name).startswith(b"#!/usr/bin/env bash\n")
            subprocess.run(["bash", "-n"], input=packed.read(name), check=True)
    assert archive.stat().st_size < 100 * 2**20


def test_the_archive_holds_no_solutions(archive):
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        sources = "".join(
            packed.read(name).decode() for name in names if name.startswith("data/course/")
        )
    assert not [name for name in names if "instructor" in name or name.startswith("tests/")]
    notebook = read(next(INSTRUCTOR.glob("01_*.ipynb")))
    solution = re.search(
        r"BEGIN SOLUTION\n(.*?)\n *# END", "".join(map(cell_source, notebook["cells"])), re.DOTALL
    )[1]
    assert json.dumps(solution.strip())[1:-1] not in sources


def test_a_notebook_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ReleaseError, match="no notebook 9"):
        write_autograder(tmp_path / "a.zip", 9)
    with pytest.raises(ReleaseError, match="lacks data/course"):
        write_autograder(tmp_path / "a.zip", root=tmp_path)


def test_the_command_writes_it_beside_or_instead_of_a_release(tmp_path):
    path = tmp_path / "autograder.zip"
    outcome = CliRunner().invoke(cli, ["release", "--gradescope", str(path), "--seed", "7"])
    assert outcome.exit_code == 0 and "seed 7" in outcome.output and path.is_file()
    for arguments in ([], ["--notebook", "1"]):
        assert CliRunner().invoke(cli, ["release", *arguments]).exit_code == 2


@pytest.mark.slow
def test_a_submission_is_graded_in_the_containers_folders(archive, tmp_path):
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "source")
        (tmp_path / "run_autograder").write_bytes(packed.read("run_autograder"))
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "submission").mkdir()
    (tmp_path / "results").mkdir()
    answers = solutions(1)
    cells = cells_of({"1.3": answers["1.3"], "1.2": "# Exercise 1.2\nsort_channels = 3"})
    write(tmp_path / "submission" / "my work.ipynb", cells)
    write(tmp_path / "submission" / "02_other.ipynb", cells_of(solutions(2)))
    run = subprocess.run(
        ["bash", tmp_path / "run_autograder"], cwd="/", capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    read_back = json.loads((tmp_path / "results" / "results.json").read_text())
    assert gradescope_import(read_back) == (3, 18)
    assert "seed" not in json.dumps(read_back)
