"""What a submission sees, and what remains of it."""

import json
import os

import pytest
from grading_for_tests import confined, running

from labkit.course.checking.stripped_copy import PACKAGE


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
    if not replies["1.3"]["walls"]["namespaces"]:
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
