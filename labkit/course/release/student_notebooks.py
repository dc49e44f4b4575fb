"""Student notebooks from the instructor's: solutions out, outputs out, nothing else changed.

python -m labkit.course.release.student_notebooks            write notebooks/*.ipynb from
notebooks/instructor/*.ipynb python -m labkit.course.release.student_notebooks --run [NAME ...]
first run the instructor's and store the checked outputs
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from labkit.course.checking.assembly import write_course
from labkit.course.release.student_copy import INSTRUCTOR, as_text, read, settled, student_copy
from labkit.storage.atomic_write import write_atomic


def run(path: Path, timeout: int = 300) -> dict:
    """Execute an instructor's notebook and return it settled; raises what nbclient raises on a
    failing cell.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(Path(path).parent)}},
    ).execute()
    return settled(json.loads(nbformat.writes(notebook)))


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
    paths = sorted(INSTRUCTOR.glob("*.ipynb"))
    for name in arguments.run or ():
        if name not in [path.stem for path in paths]:
            parser.error(
                f"there is no notebook {name!r}, only {', '.join(path.stem for path in paths)}"
            )
    for path in paths:
        if arguments.run is not None and (not arguments.run or path.stem in arguments.run):
            _write(path, run(path))
        copy = student_copy(read(path), path.name)
        _write(INSTRUCTOR.parent / path.name, copy)
        write_course(path.stem, copy)


def _write(path: Path, notebook: dict) -> None:
    write_atomic(path, lambda temporary: temporary.write_text(as_text(notebook), encoding="utf-8"))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
