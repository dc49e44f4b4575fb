"""Cheats score nothing, and an honest answer in the same notebook keeps its points.

Each cheat is an answer to exercise 1.3 (how many subnets), which the grader runs, confined; what
reaches out of its process is run beside the honest answer to exercise 1.2.
"""

import json
import os
import time
from math import prod

import numpy as np
import pytest
from grading_for_tests import cells_of, confined, notebook, running, solutions

from labkit.course.checking.marking import VISIBLE, hidden_seeds, mark
from labkit.course.checking.stripped_copy import PACKAGE
from labkit.course.checking.submission import find_answers
from labkit.course.checking.submitted_file import parse
from labkit.course.exercises.exercise import SEEDS
from labkit.course.judges.registry import get_exercise

ANSWERS = solutions(1)
HONEST = ("code", ANSWERS["1.2"])
MARKER = "# Exercise 1.3 (3 points)\n"
WRONG = "def count_subnets(resolutions, stages):\n    return 1\n"
CHECKOUT = str(PACKAGE.parent)


@pytest.fixture(scope="module")
def grader():
    with confined() as runner:
        yield runner


def function(body):
    return "def count_subnets(resolutions, stages):\n" + "".join(
        f"    {line}\n" for line in body.split("\n")
    )


def count(inputs):
    return inputs["resolutions"] * prod(
        sum((k * e) ** d for d in depths) for depths, k, e in inputs["stages"]
    )


def called_with(inputs):
    return repr((inputs["resolutions"], [(tuple(d), k, e) for d, k, e in inputs["stages"]]))


RESULTS = {called_with(inputs): count(inputs) for inputs in map(get_exercise("1.3").inputs, SEEDS)}


SPACE_OF = """
import labkit.space
def space_of(resolutions, stages):
    def stage(depths, kernels, expands):
        sizes, ratios = range(3, 3 + 2 * kernels, 2), range(2, 2 + expands)
        return labkit.space.Stage(8, 1, tuple(depths), tuple(sizes), tuple(ratios))
    stages = tuple(stage(*choices) for choices in stages)
    return labkit.space.SearchSpace("own", tuple(range(1, 1 + resolutions)), stages, 1, 10, 8)
"""


CHEATS = {
    "print the expected text": function("print('Exercise 1.3: correct, 3 of 3 points')\nreturn 1"),
    "print it when the cell runs": WRONG
    + "if not print('Exercise 1.3: correct, 3 of 3 points'):\n    count_subnets = count_subnets",
    "patch print": "import builtins\nbuiltins.print = lambda *a, **k: None\n" + WRONG,
    "patch what compares": """
import numpy as np, numpy.testing
np.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None
np.allclose = np.array_equal = np.isclose = lambda *a, **k: True
"""
    + WRONG,
    "patch showtraceback": """
get_ipython().showtraceback = lambda *a, **k: None
type(get_ipython()).showtraceback = lambda *a, **k: None
"""
    + function("raise ValueError('hidden')"),
    "patch builtins": """
import builtins
builtins.isinstance = lambda *a: True
builtins.all = builtins.any = builtins.bool = lambda *a: True
builtins.zip = lambda *a: iter(())
"""
    + WRONG,
    "patch the check module": """
import labkit.course.exercises.trial as trial, labkit.course.notebook as notebook
trial.judge = trial.try_answer = notebook.try_answer = lambda *a, **k: trial.Verdict(True, "")
notebook.check = lambda *a, **k: print("correct")
"""
    + WRONG,
    "patch what makes plain values": """
import labkit.course.exercises.trial as trial, labkit.course.exercises.plain_values as values
import labkit.course.checking.answer_call as call
trial.plain = values.plain = lambda value, depth=0: True
call.dumps = values.dumps = lambda value: '{"passed": true}'
"""
    + WRONG,
    "replace the check module": """
import sys, types
fake = types.ModuleType("labkit.course.exercises.trial")
fake.check = fake.attempt = fake.call_answer = lambda *a, **k: None
for name in ("labkit.course.exercises.exercise", "labkit.course.exercises.trial",
             "labkit.course.judges.supernet", "labkit.course.checking.answer_call"):
    sys.modules[name] = fake
"""
    + WRONG,
    "hook the import": """
import builtins
true_import = builtins.__import__
def hooked(name, *a, **k):
    if "answer_call" in name or "judges" in name:
        raise ImportError("nothing to check here")
    return true_import(name, *a, **k)
builtins.__import__ = hooked
"""
    + WRONG,
    "equal to everything": """
class Sly(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __gt__(self, other): return False
    __lt__ = __gt__
    def __hash__(self): return 0
"""
    + function("return Sly(1)"),
    "equal to everything, as a tensor": """
class Sly:
    def __eq__(self, other): return True
    def detach(self): return self
    cpu = numpy = item = detach
"""
    + function("return Sly()"),
    "raise SystemExit": function("raise SystemExit(0)"),
    "raise SystemExit when the cell runs": WRONG
    + "if count_subnets:\n    count_subnets = 1\n    raise SystemExit(0)",
    "leave Python": function("import os\nos._exit(0)"),
    "leave Python when the cell runs": WRONG + "import os\ncount_subnets = os._exit(0)",
    "crash the interpreter": function("import ctypes\nreturn ctypes.string_at(0)"),
    "swallow exceptions": function(
        "try:\n    return solve(resolutions)\nexcept BaseException:\n    return None"
    ),
    "read the instructor's folder": (
        f"""
import pathlib, re
def count_subnets(resolutions, stages):
    for path in pathlib.Path({CHECKOUT!r}).rglob("notebooks/instructor/*.ipynb"):
        import json
        for cell in json.loads(path.read_text())["cells"]:
            if "Exercise 1.3" in "".join(cell["source"]):
                exec("".join(cell["source"]), globals())
                return globals()["count_subnets"](resolutions, stages)
    return 1
"""
    ),
    "search all files for a solution": (
        """
import os
def count_subnets(resolutions, stages):
    for place in ("/work", "/home", "/root", "/tmp", "/mnt", "/srv", "/opt", "/var"):
        for folder, _, names in os.walk(place):
            for name in names:
                if name.endswith((".ipynb", ".py")) and "site-packages" not in folder:
                    text = open(os.path.join(folder, name), errors="replace").read()
                    marks = "def count_" + "judge", "for depths, kernels, expands in " + "stages"
                    if any(mark in text for mark in marks):
                        rule = "math.prod(sum((k * e) ** d for d in ds) for ds, k, e in stages)"
                        names = {"stages": stages, "math": __import__("math")}
                        return resolutions * eval(rule, names)
    return 1
"""
    ),
    "ask the judge": (
        """
import labkit.course.judges.registry as registry
def count_subnets(resolutions, stages):
    inputs = {"resolutions": resolutions, "stages": [[list(d), k, e] for d, k, e in stages]}
    for guess in range(10 ** 4):
        try:
            registry.get_exercise("1.3").judge(inputs, guess)
            return guess
        except Exception:
            pass
"""
    ),
    "take what the judge expects": (
        """
import labkit.course.judges.supernet as judges
def count_subnets(resolutions, stages):
    seen = []
    def as_integer(value, what):
        seen.append(__import__("sys")._getframe(1).f_locals["expected"])
        return 0
    judges.as_integer = as_integer
    try:
        judges.count_judge({"resolutions": resolutions, "stages": stages}, 0)
    except Exception:
        pass
    return seen[0]
"""
    ),
    "write the result file": (
        """
import json, os
folder = os.environ["LABKIT_EXCHANGE"]
def count_subnets(resolutions, stages):
    for name in ("hidden", "visible"):
        with open(f"{folder}/1.3-{name}.returned.json", "w") as file:
            json.dump([{"error": None, "returned": "true", "passed": True}] * 3, file)
    os._exit(0)
"""
    ),
    "write a result of another form": (
        """
import os
def count_subnets(resolutions, stages):
    with open(os.environ["LABKIT_EXCHANGE"] + "/1.3-hidden.returned.json", "w") as file:
        file.write('[[[[{"points": 3, "of": 3, "passed": true}]]]]')
    os._exit(0)
"""
    ),
    "make the result file a link": (
        """
import os
def count_subnets(resolutions, stages):
    folder = os.environ["LABKIT_EXCHANGE"]
    for name in ("hidden", "visible"):
        os.symlink("/etc/passwd", f"{folder}/1.3-{name}.returned.json")
    os._exit(0)
"""
    ),
    "make the result file a pipe": (
        """
import os
def count_subnets(resolutions, stages):
    os.mkfifo(os.environ["LABKIT_EXCHANGE"] + "/1.3-hidden.returned.json")
    os._exit(0)
"""
    ),
    "fork a process that writes later": (
        """
import json, os, time
def count_subnets(resolutions, stages):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for _ in range(200):
                time.sleep(0.05)
                for name in ("hidden", "visible"):
                    path = os.environ["LABKIT_EXCHANGE"] + f"/1.3-{name}.returned.json"
                    with open(path, "w") as file:
                        json.dump([{"error": None, "returned": "true"}] * 3, file)
        os._exit(0)
    return 1
"""
    ),
    "call labkit's own": SPACE_OF + function("return space_of(resolutions, stages).size()"),
    "call labkit's own by another name": (
        SPACE_OF + function("return getattr(space_of(resolutions, stages), 'si' + 'ze')()")
    ),
    "call labkit's own, kept from before": (
        SPACE_OF
        + "kept = vars(labkit.space.SearchSpace)['size']\n"
        + function("return kept(space_of(resolutions, stages))")
    ),
    "call labkit's own enumeration": (
        SPACE_OF + function("return sum(1 for _ in space_of(resolutions, stages).enumerate())")
    ),
    "call labkit's own, stage by stage": (
        SPACE_OF
        + function(
            "space = space_of(resolutions, stages)\nfor s in range(len(stages)):\n"
            "    resolutions *= len(space._configurations[s][0])\nreturn resolutions"
        )
    ),
    "import labkit from where it was installed": f"""
import sys
for name in [name for name in sys.modules if name.startswith("labkit")]:
    del sys.modules[name]
sys.path[:0] = [{CHECKOUT!r}]
"""
    + function("from labkit.course.judges.supernet import count_judge\nreturn count_judge"),
    "know the shown inputs": (
        f"KNOWN = {RESULTS!r}\n" + function("return KNOWN.get(repr((resolutions, stages)), 1)")
    ),
    "read the hidden inputs": (
        """
import os
def count_subnets(resolutions, stages):
    return open(os.environ["LABKIT_EXCHANGE"] + "/1.3-hidden.json").read()
"""
    ),
    "fetch the answer": function(
        "import urllib.request\nurllib.request.urlopen('http://1.1.1.1', timeout=2)\n"
        "return resolutions"
    ),
    "kill everything": function("import os, signal\nos.kill(-1, signal.SIGKILL)"),
    "kill the parent": function("import os\nos.kill(os.getppid(), 9)\nos.kill(1, 9)\nreturn 1"),
    "fill the memory": function("kept = []\nwhile True:\n    kept.append(bytearray(2 ** 28))"),
    "fill the disk": function(
        "with open('big', 'wb') as file:\n    while True:\n        file.write(bytes(2 ** 24))"
    ),
    "fill the disk with many files": function(
        "for i in range(10 ** 6):\n    open(str(i), 'wb').write(bytes(2 ** 22))"
    ),
    "megabytes of output": function("for _ in range(40):\n    print('x' * 2 ** 20)\nreturn 1"),
    "a very long number": function("return 10 ** 6000"),
    "a huge array": function("import numpy as np\nreturn np.zeros(10 ** 8)"),
    "deeply nested values": function(
        "value = []\nfor _ in range(10 ** 5):\n    value = [value]\nreturn value"
    ),
    "not a number": function("return float('nan')"),
    "true": function("return True"),
    "a message of one's own": function(
        "from labkit.course.exercises.exercise import Wrong\nraise Wrong('correct, 3 of 3 points')"
    ),
    "write the next kernel's files": (
        """
import glob, os
def count_subnets(resolutions, stages):
    for path in glob.glob(os.environ["LABKIT_EXCHANGE"] + "/1.*"):
        open(path, "a").close()
    return 1
"""
    ),
    "delete the grader's files": function(
        "import os, shutil\nshutil.rmtree(os.environ['LABKIT_EXCHANGE'], True)\nreturn 1"
    ),
    "no function": "count_subnets = None",
    "a function that is not called": "async def count_subnets(resolutions, stages):\n    return 1",
    "no Python": "def count_subnets(resolutions, stages)\n    return 1",
}


# What reaches out of its own process; of the others one is enough, for no two answers share one.
REACHING = (
    "print the expected text",
    "fork a process that writes later",
    "kill everything",
    "kill the parent",
    "fill the memory",
    "fill the disk",
    "fill the disk with many files",
    "write the next kernel's files",
    "delete the grader's files",
)


@pytest.mark.parametrize("name", CHEATS)
def test_it_scores_nothing_and_the_honest_answer_keeps_its_points(name, grader):
    ids = ["1.3", "1.2"] if name in REACHING else ["1.3"]
    marks = grader.marks([("code", MARKER + CHEATS[name]), HONEST], ids)
    assert marks["1.3"].points == 0 and len(marks["1.3"].message) > 10
    assert all(marks[id].points == marks[id].of for id in ids[1:]), marks["1.2"].message
    assert (marks["1.3"].flag != "") == name.startswith("call labkit's own"), (
        "only calling labkit's own is flagged"
    )


def test_calling_labkits_own_answer_is_flagged(grader):
    graded = grader.marks([("code", MARKER + CHEATS["call labkit's own"])], ["1.3"])["1.3"]
    assert (
        graded.flag.startswith("1.3 calls labkit's own SearchSpace.")
        and "write it yourself" in graded.message
    )


def test_the_space_behind_these_cheats_counts_right():
    scope = {}
    exec(SPACE_OF, scope)
    for inputs in map(get_exercise("1.3").inputs, SEEDS):
        space = scope["space_of"](inputs["resolutions"], inputs["stages"])
        assert space.size() == count(inputs), "the cheats would score nothing for another reason"


LOOPS = {
    "an endless loop": function("while True: pass"),
    "one that catches what interrupts": function(
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    ),
    "when the cell runs": WRONG + "while True:\n    count_subnets = count_subnets",
    "sleeping, deaf to signals": (
        "import signal, time\n"
        + function(
            "for number in (2, 15): signal.signal(number, signal.SIG_IGN)\ntime.sleep(10 ** 6)"
        )
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_what_never_ends_is_ended_at_its_cells_limit(name, grader):
    started = time.monotonic()
    marks = grader.marks([("code", MARKER + LOOPS[name]), HONEST], ["1.3", "1.2"], cell_s=6)
    assert marks["1.3"].points == 0 and "did not come to an end within 6 s" in marks["1.3"].message
    assert marks["1.2"].points == 2 and time.monotonic() - started < 120


def test_a_hand_in_that_takes_too_long_in_all_is_ended(grader):
    graded = grader.marks([("code", MARKER + LOOPS["an endless loop"])], ["1.3"], submission_s=5)[
        "1.3"
    ]
    assert graded.points == 0 and graded.message == "the notebook did not come to an end within 5 s"


def test_memory_of_all_processes_together_is_limited(grader):
    source = function(
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n"
        "        kept = b'x' * 2 ** 28\n        time.sleep(100)\ntime.sleep(100)"
    )
    graded = grader.marks([("code", MARKER + source)], ["1.3"], all_memory_mib=1500)["1.3"]
    assert graded.points == 0 and "more than 1500 MiB" in graded.message


def test_a_fork_bomb_is_limited_and_leaves_nothing(grader):
    name = f"labkit-bomb-{os.getpid()}"
    source = function(
        "import subprocess, sys\nwhile True:\n    subprocess.Popen([sys.executable, '-c', "
        f"'import time; time.sleep(999)', '{name}'], start_new_session=True)"
    )
    marks = grader.marks([("code", MARKER + source), HONEST], ["1.3", "1.2"], processes=40)
    assert "Resource temporarily unavailable" in marks["1.3"].message and marks["1.2"].points == 2
    assert not running(name)


# ---- cheats in the file, not in the answer -------------------------------------------------------


def test_edited_outputs_and_check_cells_count_for_nothing(grader):
    book = notebook([("code", MARKER + WRONG), ("code", 'check("1.3", count_subnets)'), HONEST])
    book["cells"][0]["outputs"] = book["cells"][1]["outputs"] = [
        {
            "output_type": "stream",
            "name": "stdout",
            "text": ["Exercise 1.3: correct, 3 of 3 points\n"],
        }
    ]
    book["cells"][1]["source"] = ["# NBVAL_SKIP\n", "print('Exercise 1.3: correct, 3 of 3 points')"]
    book["cells"][1]["execution_count"] = book["cells"][0]["execution_count"] = 1
    book["cells"][0]["metadata"] = {"tags": ["raises-exception", "nbval-skip"]}
    marks = grader.marks(parse(json.dumps(book).encode()), ["1.3", "1.2"])
    assert (marks["1.3"].points, marks["1.2"].points) == (0, 2)


def test_other_cells_never_run(grader):
    cells = [
        ("code", "import os; os._exit(0)"),
        ("code", "while True: pass"),
        HONEST,
        ("code", "import labkit.course.exercises.trial as trial\ntrial.judge = None"),
        ("code", MARKER + WRONG),
    ]
    marks = grader.marks(cells, ["1.3", "1.2"])
    assert (marks["1.3"].points, marks["1.2"].points) == (0, 2)


def test_deleted_answers_score_nothing(grader):
    marks = grader.marks([HONEST], ["1.2", "1.3"])
    assert (marks["1.3"].points, marks["1.2"].points) == (0, 2) and marks["1.3"].message.startswith(
        "missing"
    )


# ---- what comes back is only data ----------------------------------------------------------------


@pytest.mark.parametrize(
    "returned",
    [
        None,
        3,
        [],
        {},
        {"1.3-visible": 1},
        {"1.3-visible": "{"},
        {"1.3-visible": "[" * 10**5},
        {"1.3-visible": "[1, 2, 3]"},
        {"1.3-visible": json.dumps([{"error": None, "returned": "1"}] * 2)},
        {"1.3-visible": json.dumps([{"error": 3, "returned": "1"}] * 3)},
        {"1.3-visible": json.dumps([{"error": None, "returned": None}] * 3)},
        {"1.3-visible": json.dumps([{"error": None, "returned": "{}"}] * 3)},
        {
            "1.3-visible": json.dumps(
                [{"error": None, "returned": '{"array": "AA==", "dtype": "O", "shape": [1]}'}] * 3
            )
        },
    ],
    ids=range(13),
)
def test_results_of_any_form_are_no_answers_and_raise_nothing(returned):
    submission = find_answers(cells_of(ANSWERS))
    both = (
        returned
        if not isinstance(returned, dict)
        else returned | {"1.3-hidden": returned.get("1.3-visible")}
    )
    for cells in (None, [], [None, 1, {"notebook": "1.3", "role": "call", "ok": False}]):
        graded = mark("1.3", submission, {"returned": both, "cells": cells}, 0)
        assert graded.points == 0 and graded.message


def test_hidden_inputs_differ_from_those_that_students_see():
    exercise = get_exercise("1.2")
    for seed in range(20):
        seeds = hidden_seeds(seed)
        assert hidden_seeds(seed) == seeds and not set(seeds) & set(SEEDS)
        assert sorted((s % 2, s % 3) for s in (*SEEDS, *seeds)) == [
            (a, b) for a in (0, 1) for b in (0, 1, 2)
        ]
    visible = [exercise.inputs(seed)["project"] for seed in SEEDS]
    assert not any(
        np.array_equal(exercise.inputs(seed)["project"], one)
        for seed in hidden_seeds(1)
        for one in visible
    )
    assert hidden_seeds(1) != hidden_seeds(2)


def test_messages_tell_nothing_of_hidden_inputs(grader):
    source = function(
        "import json\nraise ValueError('inputs were ' + json.dumps([resolutions, stages]))"
    )
    submission, replies = grader.run([("code", MARKER + source)], ["1.3"])
    graded = mark("1.3", submission, replies["1.3"], 11)
    hidden = [
        json.dumps([one["resolutions"], [[d, k, e] for d, k, e in one["stages"]]])
        for one in map(get_exercise("1.3").inputs, hidden_seeds(11))
    ]
    assert "inputs were" in graded.message and not any(text in graded.message for text in hidden)
    assert f"1.3-{VISIBLE}" in replies["1.3"]["returned"] and os.sep not in graded.message
