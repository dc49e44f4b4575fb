"""What the tests of grading share: notebooks made of answers, and marks from confined runs."""

import json
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from labkit.course.checking.answer_run import make_plan, run_answer
from labkit.course.checking.marking import mark
from labkit.course.checking.stripped_copy import PACKAGE
from labkit.course.checking.submission import MARKER, find_answers
from labkit.course.confinement.fork_server import ForkServer
from labkit.course.confinement.limits import RunLimits
from labkit.course.handout.notebook_file import cell_source, new_notebook, read, source_lines
from labkit.course.handout.student_copy import INSTRUCTOR
from labkit.storage.paths import data_dir


def instructor(number):
    return read(next(INSTRUCTOR.glob(f"{number:02}_*.ipynb")))


def solutions(number):
    """Solved answer cells of a notebook, by exercise id."""
    cells = [
        cell_source(cell) for cell in instructor(number)["cells"] if cell["cell_type"] == "code"
    ]
    return {id: source for source in cells for id in MARKER.findall(source)}


def cells_of(answers):
    """Answer cells as a notebook's cells: (type, source)."""
    return [("code", source) for source in answers.values()]


def notebook(cells, minor=5, ids=True):
    numbered = []
    for i, (kind, source) in enumerate(cells):
        cell = {"cell_type": kind, "metadata": {}, "source": source_lines(source)}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        numbered.append(cell | ({"id": f"cell-{i}"} if ids else {}))
    return new_notebook(numbered) | {"nbformat_minor": minor}


def write(path, cells, **how):
    path.write_text(json.dumps(notebook(cells, **how)), encoding="utf-8")
    return path


class Confined:
    """Runs hand-ins as the grader does, one at a time, without its files."""

    def __init__(self, server, folder):
        self.server, self.folder, self.plans = server, folder, {}
        self.namespaces = True

    def run(self, cells, ids=None, *, seed=11, **limits):
        """The submission, and what came back of confined runs of its answers to `ids`, by exercise
        id.
        """
        submission, replies = find_answers(cells), {}
        for number in submission.notebooks:
            if number not in self.plans:
                self.plans[number] = make_plan(self.folder, [number], 0, RunLimits())
            plan = replace(
                self.plans[number],
                seed=seed,
                limits=RunLimits(**limits),
                namespaces=self.namespaces,
            )
            for id in ids or submission.answers:
                if int(id.partition(".")[0]) == number and id in submission.answers:
                    limit_s = plan.limits.submission_s
                    replies[id] = run_answer(submission, id, plan, self.server.address, limit_s)
        return submission, replies

    def marks(self, cells, ids=None, *, seed=11, **limits):
        submission, replies = self.run(cells, ids, seed=seed, **limits)
        return {
            id: mark(id, submission, replies.get(id, {}), seed)
            for id in ids or [*submission.answers, *submission.problems]
        }

    def values(self, source, id="1.3", **limits):
        """What an answer to an exercise returned, whatever it is: for looking around in there."""
        _, replies = self.run([("code", source)], [id], **limits)
        outcomes = json.loads(replies[id]["returned"][f"{id}-hidden"])
        return [outcome["error"] or json.loads(outcome["returned"]) for outcome in outcomes]


@contextmanager
def confined():
    with ForkServer({"LABKIT_DATA": str(data_dir())}) as server:
        server.wait()
        yield Confined(server, server.folder / "copies")


ORDINARY_USER = 65534  # nobody


@contextmanager
def folder_of(user):
    """An empty folder of a user's own, which others may read: above pytest's they may not."""
    with TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        if os.getuid() == 0:
            os.chown(name, user, user)
        yield Path(name)


def as_user(user, command, home):
    """`command` as a user other than root runs it, or as root where everybody may read Python and
    the course. Where root runs the tests, that is a view of the files which nothing else sees.
    """
    if os.getuid() != 0:
        return command
    trees = [Path(sys.base_prefix), Path(sys.prefix), PACKAGE.parent, data_dir()]
    closed = {above for tree in trees for above in tree.parents if not above.stat().st_mode & 0o001}
    lines = ["set -e"]
    for top in (folder for folder in closed if closed.isdisjoint(folder.parents)):
        below = {tree: home / f"tree-{i}" for i, tree in enumerate(trees) if top in tree.parents}
        for tree, place in below.items():
            lines += [f"mkdir -p {place}", f"mount --bind {tree} {place}"]
        lines.append(f"mount -t tmpfs -o mode=755 none {top}")
        for tree, place in below.items():
            lines += [f"mkdir -p {tree}", f"mount --bind {place} {tree}"]
    ids = ["--reuid", str(user), "--regid", str(user), "--clear-groups", "--inh-caps=-all"]
    lines.append(f'exec setpriv {" ".join(ids)} env HOME={home} PYTHONDONTWRITEBYTECODE=1 "$@"')
    return ["unshare", "-m", "sh", "-c", "\n".join(lines), "sh", *command]


def running(mark):
    """Command lines of this machine's processes that hold `mark`."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            lines.append(path.read_bytes())
    return [line for line in lines if mark.encode() in line]
