"""The parts that grading is made of: plain values as text, slices, the copy of labkit, nbval's
plugin, confinement.
"""

import ast
import base64
import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from grading_for_tests import confined, notebook, running, solutions
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labkit.course.checking.answer_notebook import answer_notebook
from labkit.course.checking.emptied_functions import OWN_ANSWER, locate
from labkit.course.checking.marking import _verdict
from labkit.course.checking.program_slice import code_unit, slice_for, statement_units
from labkit.course.checking.stripped_copy import PACKAGE, runs_only, write_base, write_without
from labkit.course.exercises import plain_values
from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.judging import as_items
from labkit.course.handout.notebook_file import cell_source
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise
from labkit.course.notebook import _session_cells

# ---- values --------------------------------------------------------------------------------------

NUMBERS = arrays.arrays(
    st.sampled_from(["<f8", "<f4", "<i8", "u1", "?"]),
    arrays.array_shapes(min_dims=0, min_side=0, max_side=4),
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | NUMBERS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def same(a, b):
    if isinstance(a, np.ndarray):
        return (
            isinstance(b, np.ndarray)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
        )
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a and b != b)


@settings(deadline=None)
@given(PLAIN)
def test_values_come_back_as_they_were(value):
    assert same(plain_values.loads(plain_values.dumps(value)), value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 10**5,
        "[" * 50 + "]" * 50,
        "9" * 5000,
        '{"a": 1}',
        '{"dict": 3}',
        " " * (plain_values.MAX_CHARACTERS + 1),
        '{"array": "", "dtype": "O", "shape": [0]}',
        '{"array": "AA==", "dtype": "u1", "shape": [1000000000000]}',
        '{"array": "AA==", "dtype": "u1", "shape": [-1]}',
        '{"array": "AA==", "dtype": "u1", "shape": [true]}',
        '{"array": "AA==", "dtype": "V1", "shape": [1]}',
        '{"array": 3, "dtype": "u1", "shape": [1]}',
        '{"array": "%%", "dtype": "u1", "shape": [1]}',
        '{"array": "AA==", "dtype": {}, "shape": [1]}',
        '{"array": "AA==", "dtype": "u1,u1", "shape": [1]}',
        '{"array": "", "dtype": "u1", "shape": null}',
    ],
    ids=range(18),
)
def test_other_texts_are_refused(text):
    with pytest.raises(plain_values.BadValue):
        plain_values.loads(text)


def zeros(*shape):
    return json.dumps(
        {"array": base64.b64encode(bytes(math.prod(shape))).decode(), "dtype": "u1", "shape": shape}
    )


@pytest.mark.parametrize(
    "shape",
    [(2**39, 0), (2**23, 0), (0, 2**10, 2**10), (0, 2**39, 2**39), (2**19, 1), (2**10, 2**10, 2)],
)
def test_no_array_has_millions_of_rows(shape):
    with pytest.raises(plain_values.BadValue, match="262,144 rows"):
        plain_values.loads(zeros(*shape))
    for good in ((0, 3, 1000), (3, 0), (2**18, 2), (2**20,), ()):
        assert plain_values.loads(zeros(*good)).shape == good


@pytest.mark.parametrize(
    "text",
    [
        "[" + ",".join(["[]"] * 10**6) + "]",
        "[" + ",".join(["[[[{}]]]"] * 10**5) + "]",
        "[" + ",".join([zeros(1000, 0)] * 2 * 10**5) + "]",
    ],
    ids=range(3),
)
def test_a_text_that_would_fill_memory_with_small_values_is_refused_before_it_is_read(
    text, monkeypatch
):
    monkeypatch.setattr(plain_values.json, "loads", lambda _: pytest.fail("read"))
    for form in (text, text.encode()):
        with pytest.raises(plain_values.BadValue, match="lists, dicts and arrays"):
            plain_values.loads(form)
    verdict = _verdict(get_exercise("1.3"), text, (0, 1, 2))
    assert not verdict.passed and "lists, dicts and arrays" in verdict.message


def test_rows_of_an_array_are_counted_before_they_are_taken_apart():
    class Rows(np.ndarray):
        def __iter__(self):
            pytest.fail("taken apart")

    with pytest.raises(Wrong, match=r"should be 2 values, got an array of shape \(3, 1\)"):
        as_items(np.zeros((3, 1)).view(Rows), 2)
    assert [row.tolist() for row in as_items(np.eye(2), 2)] == [[1, 0], [0, 1]]
    with pytest.raises(TypeError):
        as_items(np.array(2.0), 2)


# ---- slices --------------------------------------------------------------------------------------


def test_a_slice_holds_what_is_needed_and_nothing_else():
    units = statement_units(
        "import os, sys as system\nfrom a import b, c as d\nx = 1\ny = x + 1\nz = b(y)\n"
        "heavy = train(x)\nz.rate = 3\nx[0] = y\nshow(z)\ndef f(heavy):\n    return heavy + z\n"
    )
    assert [one.source for one in slice_for({"y"}, units)] == ["x = 1", "y = x + 1", "x[0] = y"]
    assert [one.source for one in slice_for({"d", "system"}, units)] == [
        "import sys as system",
        "from a import c as d",
    ]
    assert "heavy = train(x)" not in [one.source for one in slice_for({"f"}, units)]
    assert not slice_for(set(), units)


@pytest.mark.parametrize(
    "source",
    [
        "T = {}\nfor unit, n in (('hours', 24), ('days', 1)):\n    T[unit] = 1 / n",
        "T = dict(days=1)\nT.update(hours=1 / 24)",
        "T = {}\nT['a'], T['b'] = (1, 2)",
        "T = {}\nT['a']: int = 1",
        "T = {'a': [0]}\nT['a'][0] += 1",
        "T = []\nif True:\n    T.append(1)",
        "T = {}\nwith open('t') as file:\n    T.rows[0] = file.read()",
        "T = {'a': 1}\ndel T['a']",
    ],
)
def test_a_table_that_is_filled_step_by_step_is_kept_whole(source):
    assert "\n".join(one.source for one in slice_for({"T"}, statement_units(source))) == source


def test_what_a_function_changes_when_it_is_called_is_no_change():
    units = statement_units(
        "T = {}\ndef fill(heavy):\n    T['a'] = heavy\n    T.update(b=1)\nprint(T.items())\nshow(T)"
    )
    assert [one.source for one in slice_for({"T"}, units)] == ["T = {}"]


def test_names_are_those_of_the_global_scope():
    one = code_unit(
        "def f(images, *, rate=RATE):\n    global kept\n    kept = [x * scale for x in images]\n"
        "    return lambda y: y + z"
    )
    assert one.binds == {"f", "kept"} and one.uses == {"RATE", "scale", "z"}


def test_only_needed_setup_is_put_before_an_answer():
    answers = solutions(1)
    plain = answer_notebook(get_exercise("1.3"), answers, "/nowhere", ("visible",))["cells"]
    assert [cell["metadata"]["labkit"] for cell in plain] == ["setup", "answer", "call"]
    looking = {"1.3": answers["1.3"] + "\nprint(space.size())"}
    setup = [
        cell_source(cell)
        for cell in answer_notebook(get_exercise("1.3"), looking, "/nowhere", ())["cells"][1:-1]
    ]
    trained = "space, supernet, dataset = (trained.space, trained.supernet, trained.dataset)"
    assert list(dict.fromkeys(setup)) == [
        "import labkit",
        "trained = labkit.load('fmnist')",
        trained,
    ]


# ---- the copy of labkit --------------------------------------------------------------------------


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


# ---- nbval's plugin ------------------------------------------------------------------------------

RUN = """
import json, sys, pytest
from labkit.course.execution.nbval_plugin import CellRules
rules = CellRules(lambda item: 3.0)
options = ["-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env", "-q"]
pytest.main([*options, *sys.argv[2:]], plugins=[rules])
json.dump(rules.results, open(sys.argv[1], "w"))
"""


def test_the_plugin_mends_what_nbval_leaves_out(tmp_path):
    books = {
        "death": ["x = 1", "import os; os._exit(0)", "y = 2"],
        "endless": [
            "x = 1",
            "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
            "y = 2",
        ],
        "quiet": ["get_ipython().showtraceback = lambda *a, **k: None", "1 / 0", "x = 1"],
        "raises": ["# NBVAL_RAISES_EXCEPTION\n1 / 0", "# NBVAL_RAISES_EXCEPTION\nx = 1"],
        "flood": [
            "for _ in range(30):\n    print('x' * 10 ** 6)",
            "import warnings; warnings.warn('fine')",
        ],
    }
    for name, sources in books.items():
        text = json.dumps(notebook([("code", source) for source in sources]))
        (tmp_path / f"{name}.ipynb").write_text(text)
    subprocess.run(
        [sys.executable, "-c", RUN, "out.json", *(f"{name}.ipynb" for name in books)],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
        check=True,
    )
    cells = {}
    for cell in json.loads((tmp_path / "out.json").read_text()):
        cells.setdefault(cell["notebook"], []).append(cell)
    assert {name: [cell["ok"] for cell in of] for name, of in cells.items()} == {
        "death": [True, False, False],
        "endless": [True, False, False],
        "quiet": [True, False, True],
        "raises": [True, False],
        "flood": [True, True],
    }
    assert cells["death"][1]["how"] == "died" and cells["death"][1]["seconds"] < 2
    assert cells["endless"][1]["how"] == "timeout" and cells["endless"][1]["seconds"] < 10


# ---- confinement ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grader():
    with confined() as runner:
        yield runner


def test_what_a_submission_sees(grader, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    source = """# Exercise 1.3
import glob, json, os, socket
def count_subnets(resolutions, stages):
    view = {
        "checkout": os.path.exists(CHECKOUT + "/notebooks"),
        "tests": os.path.exists(CHECKOUT + "/tests"),
        "grading": os.path.exists(CHECKOUT + "/labkit/course/grading"),
        "secret": "SECRET_TOKEN" in os.environ,
        "home": os.listdir(os.path.expanduser("~")),
        "processes": len(glob.glob("/proc/[0-9]*")),
        "others": [name for name in os.listdir("/tmp") if "fork-server" in name],
        "user": os.getuid(),
    }
    attempts = {
        "connect": lambda: socket.create_connection(("1.1.1.1", 53), 2),
        "write": lambda: open(os.__file__, "a"),
        "etc": lambda: open("/etc/shadow"),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            view[name] = True
        except OSError:
            view[name] = False
    return json.dumps(view)
""".replace("CHECKOUT", repr(str(PACKAGE.parent)))
    _, replies = grader.run([("code", source)], ["1.3"])
    if not replies["1.3"]["namespaces"]:
        pytest.skip("this system gives no namespaces")
    view = json.loads(
        json.loads(json.loads(replies["1.3"]["returned"]["1.3-hidden"])[0]["returned"])
    )
    for name in ("checkout", "tests", "grading", "secret", "others", "connect", "write", "etc"):
        assert not view[name], name
    assert view["processes"] < 10 and view["user"] != 0


def test_what_a_submission_started_is_gone_when_the_reply_comes(grader):
    mark = f"labkit-test-{os.getpid()}"
    source = f"""# Exercise 1.3
import subprocess, sys, time
def count_subnets(resolutions, stages):
    for _ in range(3):
        command = [sys.executable, "-c", "import time; time.sleep(600)", {mark!r}]
        subprocess.Popen(command, start_new_session=True)
    time.sleep(0.5)
    return 1
"""
    grader.run([("code", source)], ["1.3"])
    assert not running(mark)


def test_a_death_is_noticed_at_once(grader):
    _, replies = grader.run([("code", "# Exercise 1.3\nimport os\nos._exit(3)")], ["1.3"])
    cell = next(cell for cell in replies["1.3"]["cells"] if not cell["ok"])
    assert cell["how"] == "died" and cell["seconds"] < 2


# ---- in a notebook -------------------------------------------------------------------------------


def test_the_answers_of_a_session_are_those_that_ran_last(monkeypatch):
    class Shell:
        user_ns = {
            "In": [
                "",
                "# Exercise 1.3\nold",
                "x = 1",
                "# Exercise 1.2\nfirst",
                "# Exercise 1.3\nnew",
            ]
        }

    monkeypatch.setattr("IPython.get_ipython", lambda: Shell)
    assert _session_cells() == [
        ("code", "x = 1"),
        ("code", "# Exercise 1.3\nnew"),
        ("code", "# Exercise 1.2\nfirst"),
    ]
