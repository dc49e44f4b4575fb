"""A wheel works where there is no checkout: its data comes with it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pictures_for_tests import write_pictures

import labkit
from labkit.storage.provenance import sha256

ROOT = Path(labkit.__file__).parents[1]


@pytest.fixture(scope="module", name="installed")
def installed_wheel(tmp_path_factory) -> Path:
    """A folder that the wheel of a copy of this checkout was installed into."""
    if not (ROOT / "setup.py").is_file():
        pytest.skip("labkit is no checkout here")
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "installed"))
    for name in ("labkit", "data"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--version"], capture_output=True).returncode:
        pytest.skip("there is no pip in this environment")
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    done = subprocess.run(
        [*pip, "wheel", *options, "--wheel-dir", str(target), str(source)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = target.glob("*.whl")
    shutil.unpack_archive(wheel, target / "site", "zip")
    return target / "site"


def run(
    installed: Path, folder: Path, *arguments: str, data: str | None = None
) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LABKIT_")}
    if data is not None:
        kept["LABKIT_DATA"] = data
    return subprocess.run(
        [sys.executable, "-m", "labkit", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={**kept, "PYTHONPATH": str(installed), "LABKIT_CACHE": str(folder / "cache")},
    )


@pytest.mark.slow
def test_a_wheel_has_the_data_that_commands_need(installed, tmp_path):
    for name in ("supernets/fmnist/predictor.npz", "devices/pi4.json", "course/00_tour.json"):
        assert sha256(installed / "labkit" / "shipped" / name) == sha256(ROOT / "data" / name)
    found = run(installed, tmp_path, "search", "--device", "pi4", "--max-latency-ms", "3", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["predictor"].startswith("fitted to")
    measured = run(installed, tmp_path, "evaluate", "--arch", "smallest", "--split", "val")
    assert measured.returncode == 0 and "% of val images right" in measured.stdout, measured.stderr
    package = [sys.executable, "-c", "import labkit; print(labkit.__file__)"]
    where = subprocess.run(
        package, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(installed)}
    )
    assert Path(where.stdout.strip()).is_relative_to(installed)


COMMANDS = (
    "search --device pi4 --max-latency-ms 3",
    "pareto --device pi4",
    "specialize --supernet ofa-mbv3 --device pi4:50% --device pixel1:50% --out chosen",
    "cost",
    "space show fmnist",
)


@pytest.mark.slow
@pytest.mark.parametrize("data", [None, "", "empty", "gone", "photos"])
def test_commands_in_an_empty_folder_work_or_say_what_is_missing(installed, tmp_path, data):
    (tmp_path / "empty").mkdir()
    write_pictures(tmp_path / "photos", classes=2, per_class=1)
    for command in COMMANDS:
        done = run(installed, tmp_path, *command.split(), data=data)
        assert "synthetic" not in done.stdout
        if not data:  # what came with the wheel
            assert done.returncode == 0 and done.stdout, done.stderr
        else:
            assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
            assert f"LABKIT_DATA is {data!r}" in done.stderr and "unset it" in done.stderr


@pytest.mark.slow
def test_without_its_data_it_says_what_is_missing(installed, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(installed, bare)
    shutil.rmtree(bare / "labkit" / "shipped")
    for command in (["search", "--device", "host"], ["evaluate", "--arch", "smallest"]):
        done = run(bare, tmp_path, *command)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
        assert "does not exist" in done.stderr and "LABKIT_DATA" in done.stderr
