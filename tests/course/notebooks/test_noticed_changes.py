"""`pytest --nbval-lax notebooks/instructor` notices when labkit does something else than the
notebooks are about: each of these changes to its source makes a checked cell fail.
"""

import os
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest
from decorations_for_tests import IMPORTS

from labkit.course.checking.stripped_copy import PACKAGE
from labkit.course.handout.notebook_file import as_text, cell_source, new_notebook, read
from labkit.course.handout.student_copy import CHECKED, FOR_INSTRUCTOR, INSTRUCTOR
from labkit.storage.paths import data_dir


class Change(NamedTuple):
    what: str
    file: str  # in labkit
    before: str
    after: str
    notebooks: tuple[str, ...]  # numbers of those that notice


EVERY = ("01", "02", "03", "04", "05", "06", "07")
CHANGES = [
    Change(
        "a biased mutation",
        "search/evolution.py",
        "(roll * self._scale).astype(np.int8)",
        "(0.7 * roll * self._scale).astype(np.int8)",
        ("04",),
    ),
    Change(
        "a crossover that copies",
        "search/evolution.py",
        "return np.where(from_mother, self._pick(parents, n), self._pick(parents, n))",
        "return self._pick(parents, n)",
        ("04",),
    ),
    Change(
        "selection of the worst",
        "search/evolution.py",
        'order = (-scores).argsort(kind="stable")',
        'order = scores.argsort(kind="stable")',
        ("04",),
    ),
    Change(
        "kernel transforms ignored",
        "supernet/elastic.py",
        'transformed = F.linear(center, self.transforms[f"{large}to{small}"])',
        "transformed = center",
        ("01",),
    ),
    Change(
        "recalibration from one batch",
        "supernet/evaluation.py",
        "        supernet(images, arch, recorder)\n",
        "        supernet(images, arch, recorder)\n        break\n",
        ("01",),
    ),
    Change(
        "accuracy + 3",
        "supernet/evaluation.py",
        "return 100 * count / len(self.labels)",
        "return 3 + 100 * count / len(self.labels)",
        ("01",),
    ),
    Change(
        "tau reversed",
        "tables/predictor_quality.py",
        "float((signs_a * signs_b).sum() / norm)",
        "float(-(signs_a * signs_b).sum() / norm)",
        ("03", "07"),
    ),
    Change(
        "DARTS that keeps the weakest edges",
        "darts/genotype.py",
        "np.argsort(-weights.max(1)",
        "np.argsort(weights.max(1)",
        ("06",),
    ),
    Change(
        "a judge that passes everything",
        "course/judges/supernet.py",
        "def count_judge(inputs: dict, returned: object) -> None:\n",
        "def count_judge(inputs: dict, returned: object) -> None:\n    return\n",
        ("01",),
    ),
    Change(
        "a check that passes everything",
        "course/notebook.py",
        "    if not message:\n",
        "    if True:\n",
        EVERY,
    ),
    Change(
        "exact search without limits",
        "search/exact.py",
        "_maximize(space, accuracy, limits), accuracy, limits)",
        "_maximize(space, accuracy, ()), accuracy, limits)",
        ("04",),
    ),
    Change(
        "a front that lacks every other subnet",
        "search/exact_front.py",
        "points = pareto_front(total, value)\n",
        "points = pareto_front(total, value)[::2]\n",
        ("04",),
    ),
    Change(
        "a sandwich without its smallest subnet",
        "train/recipes.py",
        "[space.largest(), space.smallest()]",
        "[space.largest(), space.largest()]",
        ("02",),
    ),
    Change(
        "the mean for the median",
        "runtime/timing.py",
        "median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2",
        "median = sum(ordered) / n",
        ("03",),
    ),
    Change(
        "one scale for all channels",
        "course/experiments/deployed_forms.py",
        "if not per_channel:",
        "if True:",
        ("05",),
    ),
    Change(
        "costs for each device paid once",
        "accounting/search_cost.py",
        'return _total(self, "hours", devices)',
        'return _total(self, "hours", 1)',
        ("07",),
    ),
]


def laws(number):
    """The part of an instructor's notebook that says what labkit does whatever weights are shipped:
    its code cells up to its imports and those for the instructor. What fails here fails there.
    """
    path = next(INSTRUCTOR.glob(f"{number}_*.ipynb"))
    cells = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    imports = next(i for i, cell in enumerate(cells) if IMPORTS in cell_source(cell))
    own = [
        cell
        for cell in cells[imports + 1 :]
        if cell_source(cell).removeprefix(CHECKED).startswith(FOR_INSTRUCTOR)
    ]
    assert own, f"{path.name} has no cell that begins with {FOR_INSTRUCTOR}"
    return new_notebook([*cells[: imports + 1], *own])


def nbval_fails(number, package, tmp_path):
    path = tmp_path / f"{number}.ipynb"
    path.write_text(as_text(laws(number)), encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(package),
        "LABKIT_DATA": str(data_dir()),
        "OMP_NUM_THREADS": "1",
    }
    options = ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "-q"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode in (0, 1), result.stdout[-3000:]
    return result.returncode == 1, result.stdout


@pytest.fixture
def package(tmp_path):
    """A folder with a copy of labkit."""
    shutil.copytree(
        PACKAGE, tmp_path / "copy" / "labkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path / "copy"


def test_there_are_sixteen_changes_and_each_changes_something():
    assert len(CHANGES) == 16
    for change in CHANGES:
        text = (PACKAGE / change.file).read_text(encoding="utf-8")
        assert change.before in text, f"{change.what}: {change.file} does not hold it anymore"


@pytest.mark.slow
@pytest.mark.parametrize("number", EVERY)
def test_without_a_change_nothing_fails(number, package, tmp_path):
    fails, output = nbval_fails(number, package, tmp_path)
    assert not fails, output[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, number",
    [
        pytest.param(change, number, id=f"{change.what} {number}")
        for change in CHANGES
        for number in change.notebooks
    ],
)
def test_the_notebooks_notice(change, number, package, tmp_path):
    path = package / "labkit" / change.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(change.before, change.after), encoding="utf-8")
    fails, output = nbval_fails(number, package, tmp_path)
    assert fails, output[-3000:]
