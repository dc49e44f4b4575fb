"""Student notebooks from the instructor's: without solutions and outputs, otherwise the same.

    python -m labkit.course.release.student_notebooks

writes notebooks/*.ipynb from notebooks/instructor/*.ipynb, and data/course.

    python -m labkit.course.release.student_notebooks --run [NAME ...]

executes the instructor's notebooks first and stores their checked outputs.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from unittest.mock import patch

from labkit.course.handout.notebook_file import as_text, read
from labkit.course.handout.pristine_course import write_course
from labkit.course.handout.student_copy import INSTRUCTOR, instructor_copy, student_copy
from labkit.storage.atomic_write import write_atomic


def run(path: Path, timeout: int = 300) -> dict:
    """Execute an instructor's notebook and return it as it is committed; raises what nbclient
    raises on a failing cell.

    It runs as nbval runs it, so that wrong answers raise, and no result is locked or comes from
    another notebook.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(Path(path).parent)}},
    )
    with patch.dict(os.environ, PYTEST_VERSION=os.environ.get("PYTEST_VERSION", "")):
        client.execute()
    return instructor_copy(json.loads(nbformat.writes(notebook)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Write the students' notebooks from the instructor's."
    )
    parser.add_argument(
        "--run",
        nargs="*",
        metavar="NAME",
        help="execute these instructor notebooks first (all without a name), e.g. 01_supernet",
    )
    arguments = parser.parse_args()
    paths = {path.stem: path for path in sorted(INSTRUCTOR.glob("*.ipynb"))}
    for name in arguments.run or ():
        if name not in paths:
            parser.error(f"there is no notebook {name!r}, only {', '.join(paths)}")
    to_run = paths if arguments.run == [] else arguments.run or ()
    for name, path in paths.items():
        if name in to_run:
            _write(path, run(path))
        copy = student_copy(read(path), path.name)
        _write(INSTRUCTOR.parent / path.name, copy)
        write_course(name, copy)


def _write(path: Path, notebook: dict) -> None:
    write_atomic(path, lambda temporary: temporary.write_text(as_text(notebook), encoding="utf-8"))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
