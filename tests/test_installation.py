"""How the course is installed elsewhere: Codespaces, Binder and make bring torch without CUDA."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INDEX = "https://download.pytorch.org/whl/cpu"
TEXTS = {
    "Codespaces": ".devcontainer/devcontainer.json",
    "Binder": ".binder/postBuild",
    "make": "Makefile",
    "students' make": "notebooks/instructor/student-repository/Makefile",
    "README": "README.md",
}


@pytest.mark.parametrize("name", TEXTS.values(), ids=TEXTS)
def test_torch_comes_from_the_index_without_cuda_first(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert INDEX in text
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.search(r"""pip install (?:--quiet )?(?:\S+ )?(?:\S+ )?-e ["'.]*\[(\w+)\]""", text)
    assert named[1] in extras["optional-dependencies"]


def test_the_codespace_has_a_python_that_the_course_supports():
    config = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    version = re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:3\.(\d+)", config["image"])
    binder = re.fullmatch(r"python-3\.(\d+)\n", (ROOT / ".binder" / "runtime.txt").read_text())
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert min(int(version[1]), int(binder[1])) >= int(least.removeprefix(">=3."))
    commands = config["postCreateCommand"].split(" && ")
    assert (ROOT / ".binder" / "postBuild").read_text().splitlines()[2:] == commands
