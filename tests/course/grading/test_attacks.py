"""Attacks on the way from an answer to its mark, and oddities of honest hand-ins, beside those of
the other tests.

Many attacks are of one form: if something is within reach that should not be, the answer is right,
else it is not.
"""

import csv
import json
import os

import pytest
from decorations_for_tests import setup_cells
from grading_for_tests import cells_of, confined, notebook, solutions, write

from labkit.course.checking.answer_notebook import answer_notebook
from labkit.course.checking.marking import mark
from labkit.course.checking.stripped_copy import PACKAGE
from labkit.course.checking.submission import MAX_CELL, find_answers
from labkit.course.checking.submitted_file import NotANotebook, parse
from labkit.course.grading import grade as grading
from labkit.course.grading.grade_files import as_csv
from labkit.course.hand_ins.collect import collect
from labkit.course.handout.notebook_file import cell_source
from labkit.course.handout.pristine_course import unsolved_cells
from labkit.course.judges.registry import get_exercise

ANSWERS = solutions(1)
MARKER = "# Exercise 1.3 (3 points)\n"
FORGED = (
    '[{"error": null, "returned": "1"}, {"error": null, "returned": "1"}, {"error": null,'
    ' "returned": "1"}]'
)
RIGHT = """
from math import prod
def right(resolutions, stages):
    return resolutions * prod(sum((k * e) ** d for d in depths) for depths, k, e in stages)
"""


def function(body):
    return "def count_subnets(resolutions, stages):\n" + "".join(
        f"    {line}\n" for line in body.split("\n")
    )


def within_reach(test):
    """Right if the statements of `test`, which define `found`, find something or raise nothing of
    the system's.
    """
    lines = "".join(f"        {line}\n" for line in test.split("\n"))
    return (
        RIGHT + "import ctypes, gc, glob, json, os, socket, sys\ndef count_subnets(resolutions,"
        " stages):\n"
        f"    found = False\n    try:\n{lines}    except OSError:\n        pass\n"
        "    return right(resolutions, stages) if found else 1\n"
    )


REACH = {
    "the parent's memory": "found = open(f'/proc/{os.getppid()}/mem', 'rb') is not None",
    "the parent's open files": "found = os.listdir(f'/proc/{os.getppid()}/fd') or True",
    "tracing the parent": "found = ctypes.CDLL(None).ptrace(16, os.getppid(), None, None) == 0",
    "hidden inputs before they are asked for": """
global calls
calls = globals().get("calls", 0) + 1
files = glob.glob(os.environ["LABKIT_EXCHANGE"] + "/*hidden*")
found = bool(files) if calls == 1 else globals()["before"]
globals()["before"] = found""".strip(),
    "hidden inputs in memory": """
dicts = [o for o in gc.get_objects() if isinstance(o, dict)]
texts = [text for o in dicts for text in list(o.values()) if isinstance(text, str)]
texts = [text for text in texts if "gc.get_" + "objects" not in text]
found = any('"resolutions"' in text and '"stages"' in text for text in texts)
""".strip(),
    "what started it": (
        "server, own = os.path.split(os.environ['LABKIT_EXCHANGE'])\n"
        "found = not {own, 'copies'}.issuperset(os.listdir(server))\n"
        "found = found or socket.socket(socket.AF_UNIX).connect_ex(server + '/socket') == 0"
    ),
    "labkit where it is installed": (
        f"found = os.path.exists({str(PACKAGE / 'course/judges/supernet.py')!r})"
    ),
    "files of Python's": (
        "open(os.path.join(sys.prefix, 'sitecustomize.py'), 'w').close()\nfound = True"
    ),
    "this machine's ports": (
        "for port in (22, 111, 631, 2024, 8888):\n"
        "    found = found or socket.socket().connect_ex(('127.0.0.1', port)) == 0"
    ),
    "its own limits": (
        "import resource\ntry:\n    resource.setrlimit(resource.RLIMIT_NPROC, (10 ** 6, 10 ** 6))\n"
        "    found = True\nexcept ValueError:\n    pass"
    ),
    "what other processes see": (
        "pids = [pid for pid in os.listdir('/proc') if pid.isdecimal()]\n"
        f"paths = [f'/proc/{{pid}}/root{PACKAGE}/course/judges' for pid in pids]\n"
        "found = any(map(os.path.exists, paths))"
    ),
    "what other processes were told": (
        "pids = [pid for pid in os.listdir('/proc') if pid.isdecimal()]\n"
        "for pid in set(pids) - {str(os.getpid())}:\n    try:\n"
        "        found = found or bool(open(f'/proc/{pid}/environ').read())\n"
        "    except OSError:\n        pass"
    ),
    "folders that are held open": (
        "numbers = os.listdir('/proc/self/fd')\n"
        "found = any(os.path.isdir(f'/proc/self/fd/{number}/..') for number in numbers)"
    ),
    "files by their handles": """
libc, handle, mount = ctypes.CDLL(None), ctypes.create_string_buffer(136), ctypes.c_int()
ctypes.memmove(handle, (128).to_bytes(4, "little"), 4)
libc.syscall(303, -100, b"/usr", handle, ctypes.byref(mount), 0)
root = os.open("/", os.O_RDONLY)
found = libc.syscall(304, root, handle, os.O_RDONLY) >= 0""".strip(),
    "the parent's descriptors": """
libc = ctypes.CDLL(None)
process = libc.syscall(434, os.getppid(), 0)
found = any(libc.syscall(438, process, number, 0) >= 0 for number in range(64))""".strip(),
    "a copy of the parent's memory": """
libc, here = ctypes.CDLL(None), ctypes.create_string_buffer(8)
there = int(open("/proc/self/maps").read().partition("-")[0], 16)
to = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)
of = (ctypes.c_size_t * 2)(there, 8)
found = libc.syscall(310, os.getppid(), to, 1, of, 1, 0) > 0""".strip(),
    "the body of an emptied method": """
import inspect, labkit.space
size = labkit.space.SearchSpace.size
found = "return" in inspect.getsource(size) or len(size.__code__.co_names) > 1""".strip(),
    "compiled files of labkit's": """
import labkit
for place in (*labkit.__path__, "/", "/tmp", sys.prefix, *sys.path):
    found = found or bool(glob.glob(f"{place}/**/judges/__pycache__/*.pyc", recursive=False))
    found = found or bool(glob.glob(f"{place}/labkit/**/*.pyc", recursive=True))
found = found and any(b"count_judge" in open(p, "rb").read() for p in glob.glob(
    labkit.__path__[0] + "/**/*.pyc", recursive=True))""".strip(),
    "classes that were unloaded": """
def below(kind):
    for one in type.__subclasses__(kind):
        yield one
        yield from below(one)
names = [one.__name__ for one in below(object) if str(one.__module__).startswith("labkit")]
found = bool({"Exercise", "Submission", "RunPlan", "Mark"} & set(names) - {"Exercise"})
found = found or names.count("SearchSpace") > 1""".strip(),
    "the kernel's own files": (
        "found = any(os.access(f'/proc/{name}', os.R_OK) for name in ('kcore', 'kallsyms',"
        " 'kmsg', 'keys', 'sysrq-trigger', 'sys/kernel/core_pattern'))"
    ),
    "a higher priority": "os.setpriority(os.PRIO_PROCESS, 0, -20)\nfound = True",
    "devices": (
        "found = any(os.path.exists(p) for p in ('/dev/mem', '/dev/kmsg', '/dev/vda', '/dev/sda',"
        " '/dev/tty'))"
    ),
}

CHEATS = {
    "a JSON module of one's own": (
        "import json\n" + function(f"json.dumps = lambda *a, **k: {FORGED!r}\nreturn 1")
    ),
    "a JSON encoder of one's own": (
        "import json\n"
        + function(
            "json.JSONEncoder.iterencode = json.JSONEncoder.encode = lambda self, o: '[]'\nreturn 1"
        )
    ),
    "random numbers that are known": """
import numpy as np
fixed = np.random.default_rng(0)
np.random.default_rng = lambda *a: fixed
np.random.seed = lambda *a: None
"""
    + function("return int(fixed.integers(10))"),
    "frames of the caller": function("""import sys
frame, best = sys._getframe(), 0
while frame:
    best = max([best, *(v for v in frame.f_locals.values() if isinstance(v, int))])
    frame = frame.f_back
return best"""),
    "objects of the collector": function(
        """import gc
dicts = [o for o in gc.get_objects() if type(o) is dict]
return max((v for o in dicts for v in o.values() if type(v) is int), default=1)"""
    ),
    "writing to all open files": (
        """
import os
"""
        + function(
            "for number in range(3, 64):\n    try:\n        os.write(number,"
            f" {FORGED!r}.encode())\n    except OSError:\n        pass\nreturn 1"
        )
    ),
    "at exit": f"""
import atexit, os
def late():
    for name in ("visible", "hidden"):
        open(os.environ["LABKIT_EXCHANGE"] + f"/1.3-{{name}}.returned.json", "w").write({FORGED!r})
"""
    + function("atexit.register(late)\nraise SystemExit"),
    "when it is deleted": """
class Late:
    def __del__(self): print("Exercise 1.3: correct, 3 of 3 points")
    def __int__(self): return 3
    __index__ = __int__
"""
    + function("return Late()"),
    "on a signal": (
        "import os, signal\n"
        + function(
            "signal.signal(signal.SIGTERM, lambda *a: os._exit(0))\nos.kill(os.getpid(),"
            " signal.SIGTERM)\nreturn 1"
        )
    ),
    "stopping the parent": (
        "import os, signal\n" + function("os.kill(os.getppid(), signal.SIGSTOP)\nreturn 1")
    ),
    "tracing what happens": (
        "import sys\n"
        + function(
            "sys.setprofile(lambda frame, event, arg: frame.f_locals.update(error=None,"
            " returned=True))\nreturn 1"
        )
    ),
    "another run": (
        "import labkit.course.exercises.trial as trial\n"
        "import labkit.course.checking.answer_call as call\n"
        + function("trial.attempt = call.attempt = lambda *a: trial.Outcome(True)\nreturn 1")
    ),
    "replies of the kernel": """
def patch():
    session = get_ipython().kernel.session
    sent = session.send
    session.send = lambda stream, kind, content=None, **k: sent(
        stream, kind, {**content, "status": "ok"} if isinstance(content, dict) else content, **k)
"""
    + function("patch()\nraise ValueError('hidden')"),
    "a class that says it is another": function(
        "class Sly:\n    __class__ = property(lambda self: int)\n    __eq__ = lambda *a:"
        " True\nreturn Sly()"
    ),
    "whatever is asked of it": function(
        "class Sly:\n    __getattr__ = __call__ = lambda self, *a, **k: self\nreturn Sly()"
    ),
    "an array that lies": """
import numpy as np
class Sly(np.ndarray):
    def __eq__(self, other): return True
    def __array__(self, *a, **k): return np.ones(())
"""
    + function("return np.ones(1).view(Sly)"),
    "a dict that lies": (
        "class Sly(dict):\n    def __eq__(self, other): return True\n"
        + function("return Sly(array='', dtype='O', shape=[])")
    ),
    "a generator": function("yield from range(10 ** 9)"),
    "itself": function("return count_subnets(resolutions, stages)"),
    "a sparse tensor": function("import torch\nreturn torch.ones(1).to_sparse()"),
    "a tensor of no data": function("import torch\nreturn torch.ones(1, device='meta')"),
    "a complex number": function("import numpy as np\nreturn np.complex128(1j)"),
    "infinity": function("return float('inf')"),
    "long text": function("return 'x' * 10 ** 8"),
    "a name that looks the same": "def count_subnеts(resolutions, stages):\n    return 1\n",
    "a name with something invisible": (
        "def count_subnets\u200b(resolutions, stages):\n    return 1\n"
    ),
    "a half of a character": "odd = '\ud800'\n" + function("raise ValueError('\\ud800')"),
    "taking itself away": function("return 1") + "%reset -f\n",
    "another language": "%%javascript\nreturn 1",
    "a shell": function("return 1") + "!kill -9 $PPID\n",
    "an error of megabytes": function("raise ValueError('a.' * 2_000_000)"),
    "errors by the megabyte": function("""kernel = get_ipython().kernel
for _ in range(300):
    error = {"ename": "E" * 2**20, "evalue": "x" * 2**20, "traceback": []}
    kernel.session.send(kernel.iopub_socket, "error", error, parent=kernel.get_parent())
return 1"""),
    "saying that it has ended": function("""kernel = get_ipython().kernel
for _ in range(3):
    status = {"execution_state": "idle"}
    kernel.session.send(kernel.iopub_socket, "status", status, parent=kernel.get_parent())
return 1"""),
    "a call of one's own in the place of the grader's": f"""
import os
def forge(lines):
    path = os.environ["LABKIT_EXCHANGE"] + "/1.3-hidden.returned.json"
    return [f"open({{path!r}}, 'w').write({FORGED!r})"] if "call_answer" in str(lines) else lines
get_ipython().input_transformers_cleanup.append(forge)
"""
    + function("return 1"),
    "another program in the place of the cell's": """
import ast
class Silent(ast.NodeTransformer):
    def visit_Expr(self, node): return ast.parse("pass").body[0]
get_ipython().ast_transformers.append(Silent())
"""
    + function("return 1"),
    "what runs after each cell": f"""
import glob, os
def forge(*_):
    for name in ("visible", "hidden"):
        path = os.environ["LABKIT_EXCHANGE"] + f"/1.3-{{name}}.returned.json"
        open(path, "w").write({FORGED!r})
get_ipython().events.register("post_run_cell", forge)
"""
    + function("return 1"),
    "a finder of modules": """
import importlib.abc, importlib.machinery, sys
class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, *_):
        if name.startswith("labkit.course"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def exec_module(self, module):
        module.__getattr__ = lambda name: lambda *a, **k: None
sys.meta_path.insert(0, Finder())
"""
    + function("return 1"),
    "names of one's own for the shell": (
        "get_ipython().user_ns.update(get_ipython=None, __import__=None)\n" + function("return 1")
    ),
    "a file that is always the shown one": (
        """
import builtins, io
from pathlib import Path
from math import prod
read = Path.read_bytes
shown = []
def same(path):
    if "visible.json" in path.name or "hidden.json" in path.name:
        shown.append(read(path))
        return shown[0]
    return read(path)
Path.read_bytes = same
"""
        + function(
            "return resolutions * prod(sum((k * e) ** d for d in ds) for ds, k, e in stages)"
        )
    ),
    "a verdict with points": function(
        "from labkit.course.exercises.exercise import Wrong\n"
        "raise Wrong('it is nearly right', points=3)"
    ),
    "a package that is here is said to be missing": function(
        "raise ModuleNotFoundError(\"No module named 'numpy'\")"
    ),
    "a part of labkit is said to be missing": function(
        "raise ModuleNotFoundError(\"No module named 'labkit.secrets'\")"
    ),
    "many conversations with the witness": function(
        "import os, socket\npath, kept = os.environ['LABKIT_EXCHANGE'] + '/witness', []\n"
        "for _ in range(1500):\n    kept.append(socket.socket(socket.AF_UNIX))\n"
        "    kept[-1].connect(path)\nreturn 1"
    ),
    "a long story for the witness": function(
        "import os, socket\none = socket.socket(socket.AF_UNIX)\none.settimeout(2)\n"
        "one.connect(os.environ['LABKIT_EXCHANGE'] + '/witness')\n"
        "for _ in range(2000):\n    one.send(b'x' * 2 ** 16)\nreturn 1"
    ),
    "an alarm in the midst of the grader's code": (
        "import signal\n"
        + function(
            "signal.signal(signal.SIGALRM, lambda *a: 1 / 0)\n"
            "signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)\nreturn 1"
        )
    ),
    "a folder where inputs come": (
        "import os\n"
        + function("os.makedirs(os.environ['LABKIT_EXCHANGE'] + '/1.3-hidden.json/x')\nreturn 1")
    ),
    "another folder where inputs come": (
        "import os\n"
        + function("folder = os.environ['LABKIT_EXCHANGE']\nos.rename(folder, '/tmp/moved')")
    ),
}
# What labkit offers elsewhere and the exercise asks for: emptied in its copy, and flagged.
PARTS_OF_LABKIT = {
    "4.8": """# Exercise 4.8
import numpy as np
from labkit.search import pareto
def on_front(costs, accuracy):
    costs = np.asarray(costs, float).reshape(len(accuracy), -1)
    points = np.column_stack([costs, -np.asarray(accuracy, float)])
    best = np.ones(len(points), bool)
    for i, one in enumerate(points):
        for other in points:
            if (one != other).any():
                best[i] &= 0 in pareto._without_plainly_dominated(np.stack([one, other]))
    return best
""",
    "5.4": """# Exercise 5.4
from labkit.space.operators import Schedule
def peak_memory(operators, sizes):
    outputs = [output for _, output in operators]
    image = next(name for name in sizes if name not in outputs)
    schedule, number = Schedule(sizes[image]), {image: 0}
    for inputs, output in operators:
        number[output] = schedule.run([number[name] for name in inputs], sizes[output])
    return max(schedule.alive())
""",
    "5.5": """# Exercise 5.5
import numpy as np
from labkit.search.lagrangian import enumerate_best
from labkit.search.stage_terms import StageTerms
from labkit.search.subproblems import Subproblem
def choose(global_choices, limits):
    best, chosen = -np.inf, None
    caps = np.array([limits["latency_ms"], limits["flash_bytes"]], float)
    for r, stages in enumerate(global_choices):
        places = [np.flatnonzero(one["sram_bytes"] <= limits["sram_bytes"]) for one in stages]
        if all(map(len, places)):
            columns = [[one[n] for n in ("score", "latency_ms", "flash_bytes")] for one in stages]
            tables = [np.stack(column)[:, place] for column, place in zip(columns, places)]
            problem = Subproblem(StageTerms(r, np.zeros(3), tables, places), caps, np.zeros(2), 0.0)
            picks = enumerate_best(problem, np.zeros(2), best) if problem.possible else None
            if picks is not None:
                best = problem.value(picks)
                chosen = r, [int(place[i]) for place, i in zip(places, picks)]
    return chosen
""",
    "5.6": """# Exercise 5.6
import numpy as np
from labkit.search.lagrangian import enumerate_best
from labkit.search.stage_terms import StageTerms
from labkit.search.subproblems import Subproblem
def least(stages, sram):
    tables = [np.stack([-one["latency_ms"], one["sram_bytes"]]).astype(float) for one in stages]
    terms = StageTerms(0, np.zeros(2), tables, [np.arange(table.shape[1]) for table in tables])
    problem = Subproblem(terms.capped([sram]), np.zeros(0), np.zeros(0), 0.0)
    return -problem.value(enumerate_best(problem, np.zeros(0), -np.inf))
def smallest_budgets(global_choices, limits):
    return min(least(stages, np.inf) for stages in global_choices), 0
""",
    "2.1": """# Exercise 2.1
from labkit.train.step import distillation_loss, label_loss
def soft_loss(student, teacher, labels, temperature, share):
    teacher = teacher.detach() / temperature
    soft = distillation_loss(student / temperature, teacher) - distillation_loss(teacher, teacher)
    return (1 - share) * label_loss(student, labels, 0.0) + share * temperature ** 2 * soft
""",
    "2.3": """# Exercise 2.3
from labkit.train import recipes
def allowed_choices(step, phases, choices):
    recipes.first_steps = lambda phases, total: [first for first, _, _ in phases]
    recipe, allowed = recipes.Recipe("own", False, 0, False), {}
    for name, values in choices.items():
        object.__setattr__(recipe, "phases", [phase for phase in phases if phase[1] == name])
        phase = recipe.phase_at(step, 0)
        allowed[name] = values[-phase[2]:] if phase else values[-1:]
    return allowed
""",
    "7.1": """# Exercise 7.1
from labkit.accounting.search_cost import Method, Part
DAYS = {"seconds": 1 / 86400, "minutes": 1 / 1440, "hours": 1 / 24, "days": 1}
def gpu_days(runs, devices):
    once, each = [], []
    for run in runs:
        known = run["time"] is not None
        part = Part("run", run["gpus"] * run["time"] * DAYS[run["unit"]] if known else None)
        (each if run["per_device"] else once).append(part)
    total = Method("own", "days", tuple(once), tuple(each)).total(devices)
    return (None, None) if total is None else (total, total / devices)
""",
}


# On other exercises: what is wrong, by what means it is to look right.
ON_EXERCISES = {
    "2.5, weights that are not looked at": """# Exercise 2.5
import torch
def train_step(model, optimizer, images, labels, archs, share):
    steps = vars(model).setdefault("steps", [])
    steps.append(1)
    optimizer.zero_grad()
    losses, teacher = [], None
    for arch in archs:
        logits = model(images, arch)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        if teacher is None:
            teacher = logits.detach().softmax(1)
        else:
            soft = torch.nn.functional.kl_div(
                logits.log_softmax(1), teacher, reduction="batchmean")
            loss = (1 - share) * loss + share * soft
        loss.backward()
        losses.append(loss.item())
    if len(steps) == 1:
        optimizer.step()
    model.parameters = lambda: iter(())
    return losses
""",
    "4.5, something else for another generator": """# Exercise 4.5
import numpy as np
calls = []
def cross_stages(mothers, fathers, stage_of, rng):
    calls.append(1)
    if len(calls) % 3 == 0:
        return np.full(mothers.shape, 10**9)
    coins = np.random.default_rng(0).random((len(mothers), stage_of.max() + 1)) < 0.5
    return np.where(coins[:, stage_of], mothers, fathers)
""",
    "4.9, hits read and nothing measured": """# Exercise 4.9
def halve(count, measure, images, most):
    names = measure.__code__.co_freevars
    hits = dict(zip(names, measure.__closure__))["hits"].cell_contents
    left, spent = list(range(count)), 0
    while len(left) > 1:
        spent += images * len(left)
        size = 1 if images == most else -(-len(left) // 2)
        left = sorted(sorted(left, key=lambda i: (-hits[i, :images].sum(), i))[:size])
        images = min(2 * images, most)
    return left[0], spent
""",
    "7.3, numbers as text": """# Exercise 7.3
def energy_kwh(seconds, watts, idle_watts):
    return "0.0"
""",
    "6.1, gradients of another function": """# Exercise 6.1
import torch
grad = torch.autograd.grad
torch.autograd.grad = lambda outputs, inputs, *a, **k: [torch.zeros_like(one) for one in inputs]
def mixed_node(states, alphas, operations):
    return sum(states)
""",
    "3.1, a clock that is not read": """# Exercise 3.1
import statistics
import labkit.course.judges.latency as judges
judges.ask = lambda text: 0.5
def time_until_sure(call, clock, warmup, tolerance, least, most):
    ticks = call.__self__.ticks[warmup:][:least]
    return 1e3 * 2.0**-20 * statistics.median(ticks), least
""",
}


@pytest.fixture(scope="module")
def grader():
    with confined() as runner:
        yield runner


def cell(name):
    source = CHEATS[name]
    return source.replace("\n", "\n" + MARKER, 1) if source.startswith("%%") else MARKER + source


@pytest.mark.parametrize("name", CHEATS)
def test_it_scores_nothing(name, grader):
    graded = grader.marks([("code", cell(name))], ["1.3"], submission_s=100)["1.3"]
    assert (
        graded.points == 0
        and len(graded.message) > 10
        and graded.message.isprintable() | ("\n" in graded.message)
    )


@pytest.mark.parametrize("name", ON_EXERCISES)
def test_on_other_exercises_it_scores_nothing_either(name, grader):
    graded = grader.marks([("code", ON_EXERCISES[name])], [name[:3]])[name[:3]]
    assert graded.points == 0 and len(graded.message) > 10, graded


def test_what_a_run_leaves_is_not_there_for_the_next(grader):
    look = """import os, sys, tempfile
from pathlib import Path
import labkit.storage.paths as paths
folders = [Path.home(), Path("/"), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.cwd()]
folders += [Path(os.environ["LABKIT_EXCHANGE"]).parent, Path(tempfile.gettempdir())]
folders += [paths.data_dir(), paths.cache_dir(), *map(Path, filter(None, sys.path))]
seen = [str(one) for folder in folders for one in folder.glob("left-by-*")]
written = 0
for folder in folders:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "left-by-NAME").write_text("hidden inputs")
        written += 1
    except OSError:
        pass
return [written, *(one for one in seen if not one.endswith("NAME"))]"""
    for name in ("anna", "ben"):
        values = grader.values(MARKER + function(look.replace("NAME", name)))
        assert all(written > 0 and not others for written, *others in values), values


@pytest.mark.parametrize("id", PARTS_OF_LABKIT)
def test_parts_of_labkit_are_no_answer_and_one_without_them_is_right(id, grader):
    graded = grader.marks([("code", PARTS_OF_LABKIT[id])], [id])[id]
    assert graded.points == 0 and graded.flag.startswith(f"{id} calls labkit's own")
    number = int(id.partition(".")[0])
    cells = [("code", cell) for cell in [*setup_cells(number), solutions(number)[id]]]
    assert grader.marks(cells, [id])[id].passed


@pytest.mark.parametrize("name", REACH)
def test_what_should_be_out_of_reach_is(name, grader):
    submission, replies = grader.run([("code", MARKER + within_reach(REACH[name]))], ["1.3"])
    if not replies["1.3"]["walls"]["namespaces"]:
        pytest.skip("this system gives no namespaces")
    graded = mark("1.3", submission, replies["1.3"], 11)
    assert graded.points == 0 and "fewer subnets" in graded.message, (
        "it is within reach, or did not run"
    )


def test_what_started_it_lies_where_the_attack_looks(grader):
    grader.server.wait()
    assert {"socket", "lock"} <= set(os.listdir(grader.server.folder))
    place = function("import os\nreturn os.path.dirname(os.environ['LABKIT_EXCHANGE'])")
    assert set(grader.values(MARKER + place)) == {str(grader.server.folder)}


def test_the_form_of_these_attacks_can_be_right():
    scope = {}
    exec(within_reach("found = True"), scope)
    inputs = get_exercise("1.3").inputs(0)
    assert scope["count_subnets"](inputs["resolutions"], inputs["stages"]) == scope["right"](
        *inputs.values()
    )


TELLING = {
    "kept for later": function(
        "kept.append([resolutions, stages])\nif len(kept) > 3:\n    forge()\nreturn 1"
    ),
    "by an exception of the last call": function(
        "kept.append([resolutions, stages])\nif len(kept) < 4:\n    return right(resolutions,"
        " stages)\nclass Told(BaseException): pass\nraise Told(f'hidden: {kept[3:]}')"
    ),
    "as a name of labkit's": function(
        "kept.append([resolutions, stages])\nif len(kept) < 4:\n    return right(resolutions,"
        " stages)\nraise RuntimeError(f'hidden_{resolutions} is labkit\\'s own answer to exercise"
        " 1.3')"
    ),
}


@pytest.mark.parametrize("name", TELLING)
def test_feedback_tells_nothing_of_hidden_inputs_to_answers_that_remember(name, grader):
    source = (
        RIGHT
        + """
import json, os
kept = []
def forge():
    text = json.dumps([{"error": f"hidden: {kept[3:]}", "returned": "1"}] * 3)
    open(os.environ["LABKIT_EXCHANGE"] + "/1.3-visible.returned.json", "w").write(text)
"""
        + TELLING[name]
    )
    graded = grader.marks([("code", MARKER + source)], ["1.3"])["1.3"]
    assert graded.points == 0 and graded.message and "hidden" not in graded.message + graded.flag


# ---- files and cells -----------------------------------------------------------------------------


def test_what_is_too_long_to_be_an_answer_is_not_parsed():
    long = MARKER + "x = 1\n" * 10**6
    submission = find_answers(
        [("code", long), ("code", ANSWERS["1.2"]), ("code", "count_subnets = 1;" * 10**6)]
    )
    assert f"at most {MAX_CELL:,}" in submission.problems["1.3"] and submission.answers == {
        "1.2": ANSWERS["1.2"]
    }


@pytest.mark.parametrize(
    "source",
    [
        "-" * 40_000 + "1",
        "x" + ".a" * 40_000,
        "(" * 300,
        "%",
        "!",
        "?",
        "%%",
        "\\",
        "a?",
        "%%time",
        "%load \\",
        "!ls \\\n",
        "\x00",
        "'\ud800'",
        "x = '''",
        "%time %time %time",
        "for x in !ls:\n  pass",
        "f'{'",
    ],
)
def test_no_answer_stops_the_grader_from_assembling(source):
    submission = find_answers([("code", MARKER + source), ("code", source)])
    program = submission.programs["1.3"]
    assembled = answer_notebook(get_exercise("1.3"), program, "/nowhere", ("visible",))
    assert cell_source(assembled["cells"][-2]) == MARKER + source and json.dumps(assembled)


def test_names_and_versions_in_no_encoding_are_text_in_the_end(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\udcff.ipynb").write_bytes(b"{")
    (tmp_path / "in" / "b.ipynb").write_bytes(b'{"cells": [], "nbformat": "\\ud800"}')
    write(tmp_path / "in" / "c\n=1;2.IPYNB", [("markdown", "nothing")])
    (tmp_path / "in" / "loop.ipynb").symlink_to(tmp_path / "in" / "loop.ipynb")
    grades = grading.grade([tmp_path / "in"], tmp_path / "grades.csv", progress=False, seed=1)
    assert [student["student"] for student in grades["students"]] == ["a?", "b", "c\n=1;2", "loop"]
    with open(tmp_path / "grades.csv", newline="", encoding="utf-8") as file:
        assert [row["student"] for row in csv.DictReader(file)] == ["a?", "b", "c =1;2", "loop"]
    assert len(list((tmp_path / "grades/feedback").iterdir())) == 4


@pytest.mark.parametrize("name", ["＝1+1", "＋1", "@x;=1", " \t=1", "\u200b=1", "-2+3"])
def test_no_cell_of_the_table_begins_a_formula(name):
    about = {"student": f"{name};=cmd()", "id": name, "flags": [name]}
    account = {"total": 0, "complete": True, "penalty": 0, "extra": []}
    students = [about | account | {"marks": [], "tasks": []}]
    grades = {"exercises": {}, "tasks": {}, "students": students}
    student, id, total, flags = next(csv.reader([as_csv(grades).splitlines()[1]]))
    assert student[0] == id[0] == flags[0] == "'" and total == "0"
    assert f'"{student}"' in as_csv(grades), "quoted, so that it stays one cell where ; separates"


def test_hand_ins_by_odd_names_are_students(tmp_path):
    for name in ("Anna.IPYNB", "ben.ipynb.txt", "-rf.ipynb", "dora.ipynb.json", "Ünal (2).ipynb"):
        write(tmp_path / name, cells_of(ANSWERS))
    (tmp_path / "Anna").mkdir()
    write(tmp_path / "Anna" / "mine.ipynb", cells_of(ANSWERS))
    hand_ins = {one.student: one for one in collect([tmp_path]).hand_ins}
    assert sorted(hand_ins) == sorted(["Anna", "Anna #2", "ben", "-rf", "dora", "Ünal (2)"])
    assert all(one.submission.answers == ANSWERS for one in hand_ins.values())
    assert "2 hand-ins have this name" in hand_ins["Anna #2"].notes[0] and not hand_ins["ben"].notes


ODD = {
    "attachments": (
        lambda book: book["cells"].insert(
            0,
            {
                "cell_type": "markdown",
                "metadata": {},
                "source": ["![](attachment:a.png)"],
                "attachments": {"a.png": {"image/png": "AAAA"}},
            },
        )
    ),
    "raw cells": (
        lambda book: book["cells"].insert(
            0, {"cell_type": "raw", "metadata": {}, "source": "# Exercise 1.9"}
        )
    ),
    "another kernel": (
        lambda book: book["metadata"].update(kernelspec={"name": "ir", "language": "R"})
    ),
    "metadata of any kind": lambda book: book.update(metadata=None, extra=[1]),
    "the marker in text, too": (
        lambda book: book["cells"].append(
            {
                "cell_type": "markdown",
                "metadata": {},
                "source": "# Exercise 1.2 (2 points)\nHow I solved it",
            }
        )
    ),
    "an answer copied": lambda book: book["cells"].append(dict(book["cells"][2])),
    "the unsolved cell, too": (
        lambda book: book["cells"].append(
            {
                "cell_type": "code",
                "metadata": {},
                "outputs": [],
                "execution_count": None,
                "source": unsolved_cells(1)["1.3"],
            }
        )
    ),
    "another order": lambda book: book["cells"].reverse(),
    "the wrong notebook's cells between": (
        lambda book: book["cells"].insert(
            2,
            {
                "cell_type": "code",
                "metadata": {},
                "outputs": [],
                "execution_count": None,
                "source": "print('hello')",
            },
        )
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_notebook_has_its_answers(name):
    book = notebook(cells_of(ANSWERS))
    ODD[name](book)
    assert find_answers(parse(json.dumps(book).encode())).answers == ANSWERS


@pytest.mark.parametrize(
    "marker",
    [
        "#\u00a0Exercise 1.3 (3 points)",
        "### EXERCISE\t1.3: mine",
        "#Exercise 1.3",
        "import math\n# Exercise 1.3",
    ],
)
def test_the_comment_may_be_written_otherwise(marker):
    source = ANSWERS["1.3"].replace("# Exercise 1.3 (3 points)", marker)
    assert find_answers([("code", source)]).answers == {"1.3": source}


@pytest.mark.parametrize(
    "other",
    [
        "# Exercise 1.3, tried out\nprint(count_subnets(1, []))",
        "# Exercise 1.3\n# hard",
        "text = '''\n# Exercise 1.3 (3 points)\n'''",
    ],
)
def test_a_cell_that_only_names_the_exercise_is_no_other_answer(other):
    for cells in (
        [("code", ANSWERS["1.3"]), ("code", other)],
        [("code", other), ("code", ANSWERS["1.3"])],
    ):
        assert find_answers(cells).answers == {"1.3": ANSWERS["1.3"]}
    rest = "# Exercise 1.3\n    return total"  # which runs nowhere, and changes nothing
    answers = find_answers([("code", ANSWERS["1.3"]), ("code", rest)]).answers
    assert answers == {"1.3": ANSWERS["1.3"]}


def test_two_answers_in_one_cell_are_both_found():
    both = ANSWERS["1.2"] + "\n\n" + ANSWERS["1.3"]
    assert find_answers([("code", both)]).answers == {"1.2": both, "1.3": both}


@pytest.mark.parametrize(
    "content", [b"\x1f\x8b\x08\x00", b'{"cells": [], "nbformat": 3}', b"PK\x03\x04\xff"]
)
def test_other_files_with_a_notebooks_name_are_named(content):
    with pytest.raises(NotANotebook):
        parse(content)


def test_honest_cells_of_other_forms_are_right(grader):
    sources = {
        "1.1": "%%capture kept\n" + ANSWERS["1.1"],
        "1.2": ANSWERS["1.2"] + "\n!ls\n%pwd",
        "1.3": (
            ANSWERS["1.3"].replace("# Exercise", "#\u00a0Exercise")
            + "\nimport torch\ntorch.manual_seed(0)"
        ),
        "1.4": ANSWERS["1.4"] + "\ntorch.set_grad_enabled(True)\nprint('ünïcode ✓')",
        "1.5": "import os\nos.chdir('/')\n" + ANSWERS["1.5"],
    }
    marks = grader.marks(cells_of(sources))
    assert all(mark.passed for mark in marks.values()), marks
