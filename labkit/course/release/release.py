"""The students' repository, made from the instructor's checkout: no solutions, no tests, no
graders.

    release(Path("../once-for-all-lab"), repository="https://github.com/OWNER/REPO", tag="2026")

Students' notebooks are made anew from the instructor's. Repository and tag are stamped into their
first code cell, from which Colab fetches the course, and, for GitHub, into a badge that opens them
in Colab.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from labkit import __version__
from labkit.course.handout.student_copy import INSTRUCTOR
from labkit.course.release.contents import ReleaseError, check_address, student_files
from labkit.storage.atomic_write import naming_errors

ROOT = INSTRUCTOR.parents[1]
MANIFEST, SCHEMA = "release.json", "labkit-release-1"


def release(
    out: Path, *, repository: str | None = None, tag: str | None = None, root: Path = ROOT
) -> list[str]:
    """Write the students' repository to `out` in one step and return its files' names.

    `out` may hold an earlier release: its files are replaced, those that others put there (.git,
    notes) stay. Without `repository` and `tag`, which go together, notebooks have no badge and do
    not run on Colab. Raises ReleaseError for another folder that is not empty, a URL or tag that
    cannot work, and a notebook that cannot be stamped; `out` is then as it was before.
    """
    check_address(repository, tag)
    out = Path(out).resolve()
    earlier_files = _earlier_release(out, root)
    contents = student_files(root, repository, tag)
    with naming_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        try:
            draft.chmod(0o755)
            hashes = {name: _write(draft / name, content) for name, content in contents.items()}
            manifest = {
                "schema": SCHEMA,
                "labkit": __version__,
                "repository": repository,
                "tag": tag,
                "files": hashes,
            }
            (draft / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
            _put_in_place(draft, out, {*earlier_files, MANIFEST})
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return sorted([*hashes, MANIFEST])


def _earlier_release(out: Path, root: Path) -> set[str]:
    """Files of the release that `out` holds, none if it is new or empty; ReleaseError if it holds
    other things.
    """
    if any(out.is_relative_to(root / folder) for folder in ("labkit", "data", "docs", "notebooks")):
        raise ReleaseError(
            f"{out} is inside what a release is made from; choose a folder outside of it"
        )
    if not out.exists():
        return set()
    if not out.is_dir():
        raise ReleaseError(f"{out} is a file, not a folder")
    if Path.cwd().is_relative_to(out):
        raise ReleaseError(
            f"{out} is the working directory, which is about to be replaced; run this from outside"
        )
    if not any(out.iterdir()):
        return set()
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        if manifest["schema"] == SCHEMA:
            return set(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise ReleaseError(
        f"{out} is not empty and no earlier release ({MANIFEST} says what is); choose another"
        " folder"
    )


def _write(path: Path, content: Path | bytes) -> str:
    """Write or copy one file; its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.read_bytes() if isinstance(content, Path) else content
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _put_in_place(draft: Path, out: Path, earlier_files: set[str]) -> None:
    """Put the folder `draft` in the place of `out`, with whatever is in there that is not of the
    earlier release.
    """
    if not out.exists():
        os.rename(draft, out)
        return
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.")) / "old"
    try:
        os.rename(out, aside)
        os.rename(draft, out)
    except BaseException:
        if aside.exists() and not out.exists():
            os.rename(aside, out)
        aside.parent.rmdir()
        raise
    _carry_over(aside, out, earlier_files)
    shutil.rmtree(aside.parent)


def _carry_over(old: Path, new: Path, earlier_files: set[str], prefix: str = "") -> None:
    """Move what is in `old` and not in `earlier_files` to the same place in `new`, unless a new
    file is there.
    """
    for entry in sorted(old.iterdir()):
        name, target = prefix + entry.name, new / entry.name
        mixed = any(file.startswith(f"{name}/") for file in earlier_files) or target.is_dir()
        if entry.is_dir() and not entry.is_symlink() and mixed:
            _carry_over(entry, target, earlier_files, f"{name}/")
        elif name not in earlier_files and not target.exists():
            new.mkdir(parents=True, exist_ok=True)
            os.rename(entry, target)
