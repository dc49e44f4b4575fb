"""Attacks on the walls by hand-ins: on labkit's answers, on each other, on what a machine has to
give, and on the grader itself. Each runs as it would be graded.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from shutil import which

import pytest
from grading_for_tests import (
    ORDINARY_USER,
    as_user,
    cells_of,
    confined,
    folder_of,
    notebook,
    running,
    solutions,
    write,
)

from labkit.course.checking.marking import mark
from labkit.course.checking.stripped_copy import PACKAGE
from labkit.course.confinement.limits import RunLimits, processors
from labkit.course.confinement.process_tree import descendants
from labkit.course.confinement.run_folder import PREFIX
from labkit.course.confinement.walls import Walls
from labkit.course.grading import grade as grading
from labkit.course.hand_ins.collect import collect
from labkit.storage.errors import LabError

ANSWERS = solutions(1)
NONE = Walls(namespaces=False, user=False, landlock=0, system_calls=False)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="walls need Linux")


@pytest.fixture(scope="module")
def grader():
    with confined() as runner:
        yield runner


def counting(body):
    lines = "".join(f"    {line}\n" for line in body.strip().split("\n"))
    head = "# Exercise 1.3\nimport ctypes, json, os, sys, time\n"
    return f"{head}def count_subnets(resolutions, stages):\n{lines}"


# ---- labkit's own answers ------------------------------------------------------------------------

SIBLINGS = counting("""
roots = {"/", "/etc", "/home", "/lib", "/mnt", "/opt", "/root", "/srv", "/tmp", "/usr", "/var"}
for path in (*sys.path, sys.prefix, sys.base_prefix, PACKAGE, os.getcwd()):
    while path not in roots and path.startswith("/"):
        roots.add(path)
        path = os.path.dirname(path)
copies = set()
for root in roots:
    for folder, _, names in os.walk(root):
        if "stage_codes.py" in names:
            copies.add(os.path.join(folder, "stage_codes.py"))
        copies.update(os.path.join(folder, name) for name in names if name.endswith(".ipynb"))
for name in ("base", "1.1", "1.2", "1.3", "1.4"):
    beside = os.path.join(os.path.dirname(sys.path[0]), name, "labkit/space/stage_codes.py")
    copies.update([beside] if os.path.exists(beside) else [])
return json.dumps([sorted(copies), sys.path[0]])
""").replace("PACKAGE", repr(str(PACKAGE)))
CANONICAL = """
# Exercise 1.3
import numpy as np
import labkit.space
def count_subnets(resolutions, stages):
    def stage(depths, kernels, expands):
        sizes, ratios = range(3, 3 + 2 * kernels, 2), range(2, 2 + expands)
        return labkit.space.Stage(8, 1, tuple(depths), tuple(sizes), tuple(ratios))
    stages = tuple(stage(*choices) for choices in stages)
    space = labkit.space.SearchSpace("own", tuple(range(1, 1 + resolutions)), stages, 1, 10, 8)
    for s in range(len(stages)):
        resolutions *= len(np.unique(space.canonical_codes(s)))
    return resolutions
"""


@pytest.mark.slow
def test_nothing_of_labkit_can_be_read_but_the_copy_for_the_exercise(grader):
    for number in (1, 4):  # their copies lie beside each other
        grader.run(cells_of(solutions(number)), [f"{number}.1"])
    copies, path = json.loads(grader.values(SIBLINGS, cell_s=140)[0])
    modules = [copy for copy in copies if copy.endswith("stage_codes.py")]
    notebooks = [copy for copy in copies if copy.endswith(".ipynb") and "site-packages" not in copy]
    assert modules == [f"{path}/labkit/space/stage_codes.py"]
    assert all("1.3" in os.path.basename(name) for name in notebooks), notebooks


@pytest.mark.slow
def test_counting_canonical_codes_is_calling_labkits_own(grader):
    graded = grader.marks([("code", CANONICAL)], ["1.3"])["1.3"]
    assert graded.points == 0 and "labkit's own" in graded.flag


# ---- one hand-in and the others ------------------------------------------------------------------

STORM = counting("""
import subprocess
end = time.time() + 20
while time.time() < end:
    for _ in range(100):
        child = os.fork()
        if not child:
            os._exit(0)
    for _ in range(100):
        os.waitpid(-1, 0)
return 1
""")


@pytest.mark.slow
def test_processes_that_come_and_go_cost_nobody_else_a_point(grader):
    storm = threading.Thread(target=lambda: grader.run([("code", STORM)], ["1.3"], seed=3))
    grader.run([("code", ANSWERS["1.2"])], ["1.2"])  # so that both threads find the plan
    storm.start()
    for _ in range(3):
        marks = grader.marks([("code", ANSWERS["1.2"])], ["1.2"])
        assert marks["1.2"].passed, marks["1.2"].message
    storm.join()


BUSY = counting("""
for _ in range(200):
    if not os.fork():
        os.setsid()
        try:
            os.sched_setaffinity(0, range(os.cpu_count()))
        except OSError:
            pass
        while True:
            pass
while True:
    pass
""")
WORK = """
def after_work(count):
    for _ in range(20_000_000):
        pass
    return count
"""


@pytest.mark.slow
@pytest.mark.skipif(len(processors()) < 2, reason="answers of two students share the one processor")
def test_busy_processes_cost_nobody_else_a_point(tmp_path):
    """On processors of its own an answer takes as long as it takes alone, however long that is on
    this machine now; beside 200 busy processes it would take a hundred times that.
    """

    def points(seed, cell_s):
        grades = grading.grade(
            [tmp_path / "in"],
            tmp_path / "grades.csv",
            seed=seed,
            only=["1.3"],
            jobs=2,
            limits=RunLimits(cell_s=cell_s, submission_s=3 * cell_s),
            progress=False,
            reference_first=False,
        )
        return {one["student"]: one["marks"][0]["points"] for one in grades["students"]}

    (tmp_path / "in").mkdir()
    answer = ANSWERS["1.3"].replace("return total", "return after_work(total)")
    write(tmp_path / "in" / "anna.ipynb", [("code", WORK), ("code", answer)])
    started = time.monotonic()
    assert points(1, cell_s=300) == {"anna": 3}
    alone_s = time.monotonic() - started
    write(tmp_path / "in" / "busy.ipynb", [("code", BUSY)])
    assert points(2, cell_s=max(15, 3 * alone_s)) == {"anna": 3, "busy": 0}


@pytest.mark.slow
@LINUX
def test_two_runs_have_no_user_and_no_file_in_common(grader):
    source = counting("""
open("/tmp/here", "w").write("x")
open("/dev/shm/here", "w").write("x")
return json.dumps([os.getuid(), sorted(os.listdir("/tmp")), sorted(os.listdir("/dev/shm"))])
""")
    views = [json.loads(grader.values(source)[0]) for _ in range(2)]
    for view in views:
        assert view[1:] == [["here", *view[1][1:]], ["here"]]
    if os.getuid() == 0:
        assert views[0][0] != views[1][0] and min(view[0] for view in views) > 60_000


# ---- memory, disk and processes ------------------------------------------------------------------

GREEDY = {
    "shared memory in many processes": """
import mmap
for _ in range(30):
    if not os.fork():
        shared = mmap.mmap(-1, 2 ** 28)
        for i in range(0, 2 ** 28, 4096):
            shared[i] = 1
        time.sleep(60)
time.sleep(60)
""",
    "files in memory": """
for i in range(100):
    file = os.memfd_create(str(i))
    os.write(file, bytes(2 ** 26))
""",
    "System V memory": """
libc = ctypes.CDLL(None)
if libc.shmget(0, 2 ** 30, 0o1600) < 0:
    raise MemoryError
""",
    "a file system of one's own": """
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10020000) or libc.mount(b"x", b"/tmp", b"tmpfs", 0, None):
    raise PermissionError
""",
    "buffers of sockets": """
import socket
kept = []
while True:
    if not os.fork():
        for _ in range(500):
            a, b = socket.socketpair()
            for end in (a, b):
                end.setblocking(False)
                try:
                    while True:
                        end.send(bytes(65536))
                except BlockingIOError:
                    pass
            kept.append((a, b))
        time.sleep(60)
""",
    "empty files": """
for i in range(900_000):
    open(f"/tmp/{i}", "w").close()
""",
    "processes": """
while True:
    os.fork()
""",
}


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize("name", GREEDY)
def test_what_takes_too_much_is_ended_and_the_machine_keeps_its_memory(name, grader):
    least, stop = [available_mib()], threading.Event()

    def watch():
        while not stop.wait(0.1):
            least[0] = min(least[0], available_mib())

    before, watcher = least[0], threading.Thread(target=watch)
    watcher.start()
    limits = {"all_memory_mib": 2048, "cell_s": 20, "submission_s": 60}
    submission, replies = grader.run([("code", counting(GREEDY[name]))], ["1.3"], **limits)
    stop.set()
    watcher.join()
    graded = mark("1.3", submission, replies["1.3"], 11)
    assert graded.points == 0 and len(graded.message) > 10
    assert before - least[0] < 4000, f"{before - least[0]} MiB were taken"


def available_mib():
    text = Path("/proc/meminfo").read_text()
    return int(text.split("MemAvailable:")[1].split()[0]) // 1024


# ---- without namespaces --------------------------------------------------------------------------


@pytest.mark.slow
@LINUX
def test_landlock_keeps_files_closed_where_there_are_no_namespaces(grader, tmp_path):
    python = Path(os.__file__).resolve()
    if os.getuid() == 0 and not all(folder.stat().st_mode & 0o005 for folder in python.parents):
        pytest.skip("runs get a user of their own, who cannot read this Python")
    target = tmp_path / "anna.json"
    target.write_text("0 points")
    source = counting(f"""
view = {{}}
for name, attempt in {{
    "read": lambda: open({str(target)!r}).read(),
    "write": lambda: open({str(target)!r}, "w"),
    "judges": lambda: open({str(PACKAGE / "course/judges/supernet.py")!r}).read(),
    "network": lambda: __import__("socket").socket(),
    "signal": lambda: os.kill(1, 0),
}}.items():
    try:
        attempt()
        view[name] = True
    except OSError:
        view[name] = False
return json.dumps(view)
""")
    grader.namespaces = False
    try:
        _, replies = grader.run([("code", source)], ["1.3"])
    finally:
        grader.namespaces = True
    reply = replies["1.3"]
    if not reply["walls"]["landlock"]:
        pytest.skip("this system has no Landlock")
    outcome = json.loads(reply["returned"]["1.3-hidden"])[0]
    view = json.loads(json.loads(outcome["returned"]))
    assert not any(view.values()), view
    assert target.read_text() == "0 points" and not reply["walls"]["namespaces"]


def test_grading_refuses_where_answers_are_not_confined(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grading, "try_walls", lambda *_: NONE)
    with pytest.raises(LabError, match=r"--without-walls\nDOWN  namespaces"):
        grading.raise_walls(None, False, False)
    assert grading.raise_walls(None, False, True) is NONE
    assert capsys.readouterr().err.count("DOWN") == 2 * 4


LABKIT = "import sys\nfrom labkit.cli import main\nsys.argv[0] = 'labkit'\nmain()"
# labkit's command line where the system refuses namespaces, as Docker does.
DENIED = f"""
import errno
import pyseccomp
rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
for name in ("unshare", "mount", "setns"):
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
rules.load()
{LABKIT}
"""
OF_MANY_PROCESSES = f"""
# Exercise 1.3 (3 points)
!pip --version
!nvidia-smi
{ANSWERS["1.3"].replace("def count_subnets", "def count")}
from multiprocessing import Pool
def count_subnets(resolutions, stages):
    with Pool(16) as pool:
        assert pool.map(abs, range(-3, 0)) == [3, 2, 1]
    return count(resolutions, stages)
"""


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize("user, denied", [(ORDINARY_USER, False), (ORDINARY_USER, True), (0, True)])
def test_who_grades_need_not_be_root_nor_have_namespaces(user, denied):
    """Without namespaces nothing runs or is written unless that is accepted."""
    pytest.importorskip("pyseccomp")
    if user == 0 and os.getuid() != 0:
        pytest.skip("only root can be root")
    if os.getuid() == 0 and not which("setpriv"):
        pytest.skip("setpriv, which makes an ordinary user of root, is not here")
    if os.getuid() == 0 and subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("root may not mount here, so nothing can show Python to another user")
    with folder_of(user) as home:
        hand_ins, out = home / "hand-ins", home / "grades.csv"
        hand_ins.mkdir()
        write(hand_ins / "anna.ipynb", [("code", ANSWERS["1.3"])])
        write(hand_ins / "ben.ipynb", [("code", OF_MANY_PROCESSES)])
        command = [sys.executable, "-c", DENIED if denied else LABKIT, "grade", str(hand_ins)]
        command += ["--out", str(out), "--exercise", "1.3", "--jobs", "1", "--without-walls"]

        def run(command):
            command = as_user(user, command, home)
            return subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True)

        if denied:
            refused = run(command[:-1])
            assert refused.returncode == 2 and "DOWN  namespaces" in refused.stderr, refused.stderr
            assert not out.exists() and not out.with_suffix("").exists()
        graded = run(command)
        assert graded.returncode == 0, graded.stderr
        table = out.read_text()
        assert (
            '"anna","","",3' in table
            and '"ben","","",3' in table
            and "0 of them flag" in (graded.stdout + graded.stderr)
        )
        assert ("DOWN  user" in graded.stderr) == (user != 0)
        if not denied and "DOWN  namespaces" in graded.stderr:
            pytest.skip("graded, without namespaces: this system gives ordinary users none")


def test_walls_that_leak_are_not_enough():
    up = {"namespaces": True, "user": False, "landlock": 0, "system_calls": True}
    assert Walls(**up).closed and not Walls(**up, leaks=("a file",)).closed
    assert not Walls(**up | {"system_calls": False}).closed
    assert "OPEN  a file" in Walls(**up, leaks=("a file",)).lines()


def test_hand_ins_where_answers_can_read_are_refused(tmp_path, monkeypatch):
    packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    for path in (packages / "hand-ins", packages / "torch" / "anna.ipynb"):
        with pytest.raises(LabError, match="move it elsewhere"):
            grading.refuse_what_answers_can_read(path)
    grading.refuse_what_answers_can_read(tmp_path)


# ---- what is parsed ------------------------------------------------------------------------------


def finally_in_finally(depth):
    """Python compiles each `finally` twice, so code doubles with every level."""
    lines = ["# Exercise 1.3", "def count_subnets(resolutions, stages):"]
    for level in range(depth):
        lines += [
            " " * (level + 1) + "try:",
            " " * (level + 2) + "pass",
            " " * (level + 1) + "finally:",
        ]
    return "\n".join([*lines, " " * (depth + 1) + "pass"])


def hostile(folder):
    (folder / "finally.ipynb").write_text(
        json.dumps(notebook([("code", finally_in_finally(19)), ("code", "x = 1")]))
    )
    cells = "{}," * (22 * 2**20) + "{}"
    (folder / "braces.ipynb").write_text('{"nbformat": 4, "cells": [' + cells[: 60 * 2**20] + "]}")
    here = os.getcwd()
    os.mkdir(folder / "deep")
    os.chdir(folder / "deep")
    try:
        for _ in range(18):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
        write(Path("01_supernet.ipynb"), cells_of(ANSWERS))
    finally:
        os.chdir(here)


def test_small_notebooks_do_not_stop_a_class(tmp_path):
    import resource

    hostile(tmp_path)
    write(tmp_path / "anna.ipynb", cells_of({"1.3": ANSWERS["1.3"]}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hand_ins = {hand_in.student: hand_in for hand_in in collect([tmp_path]).hand_ins}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 * 1024
    assert set(hand_ins) == {"anna", "finally", "braces", "deep"}
    assert hand_ins["anna"].submission.answers == {"1.3": ANSWERS["1.3"]}
    assert hand_ins["braces"].notes or not hand_ins["braces"].submission.answers
    assert hand_ins["deep"].notes and not hand_ins["deep"].submission.answers
    subprocess.run(["rm", "-rf", str(tmp_path / "deep")], check=True)


# ---- the end -------------------------------------------------------------------------------------


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=str)
def test_a_grading_that_is_ended_leaves_no_process_and_no_folder(number, tmp_path):
    tag = f"labkit-end-{os.getpid()}-{int(number)}"
    (tmp_path / "in").mkdir()
    sleep = "import time; time.sleep(600)"
    source = counting(
        f"import subprocess\nsubprocess.run([sys.executable, '-c', {sleep!r}, {tag!r}])"
    )
    write(tmp_path / "in" / "anna.ipynb", [("code", source)])
    command = [sys.executable, "-m", "labkit", "grade", str(tmp_path / "in"), "--cell-limit", "300"]
    command += ["--out", str(tmp_path / "grades.csv"), "--exercise", "1.3", "--without-walls"]
    process = subprocess.Popen(command, cwd=PACKAGE.parent, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: running(tag), 300)
        folders = run_folders(process.pid)
        assert folders and all(folder.is_dir() for folder in folders)
        process.send_signal(number)
        process.wait(60)
        wait_for(lambda: not running(tag), 60)
        wait_for(lambda: not any(folder.exists() for folder in folders), 60)
        wait_for(lambda: not running(str(tmp_path)), 60)
    finally:
        process.kill()


def run_folders(pid):
    """The folders of the runs of a grading: they are named where its processes are started."""
    texts = [Path(f"/proc/{child}/cmdline").read_text() for child in descendants(pid)]
    parts = [Path(part) for text in texts for part in text.split("\0") if PREFIX in part]
    return {part.parent for part in parts if part.name == "socket"}


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)
