"""The students' repository, made from the instructor's checkout: no solutions, no tests, no
graders.

    release(Path("../once-for-all-lab"), repository="https://github.com/OWNER/REPO", tag="2026-spring")

Students' notebooks are made afresh from the instructor's. Repository and tag are stamped into their
first code cell, from which Colab fetches the course, and, for GitHub, into a badge that opens them
in Colab.

What is in a release is listed here (`COPIED`), so that nothing gets in by being left lying about.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from labkit import __version__
from labkit.course.release import student_copy as copies
from labkit.storage.errors import LabError

ROOT = copies.INSTRUCTOR.parents[1]
# folder beside the instructor's notebooks: README and Makefile that students get
TEMPLATES = "student-repository"
MANIFEST, SCHEMA = "release.json", "labkit-release-1"

COPIED = (
    "LICENSE",
    "pyproject.toml",
    "environment.yml",
    ".gitignore",
    "labkit/**/*.py",
    "docs/*.png",
    "docs/training.md",
    "docs/coming-from-ofa.md",
    "benchmarks/*.md",
    "data/README.md",
    "data/fashion-mnist/*.gz",
    "data/supernets/*.safetensors",
    "data/**/*.json",
    "data/**/*.npz",
)
KEPT_BACK = (
    "labkit/course/grading/*",
    "labkit/course/release/release.py",
    "labkit/cli/release.py",
    "labkit/cli/grade.py",
    "data/*checkpoint*",
    "*/.*",
)

SCRIPTS_STAY = (
    "\n> The scripts in `benchmarks/` that this page names are in the instructor's repository.\n"
)

# a line of every notebook's first code cell
PLACE = 'REPOSITORY, TAG = "https://github.com/OWNER/REPO", "main"\n'
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", re.ASCII)
URL = re.compile(r"(?:https?|file)://[\w.~:/%+-]+", re.ASCII)
TAG = re.compile(r"\w[\w./+-]*", re.ASCII)
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{slug}/blob/{tag}/notebooks/{name})"
)


class ReleaseError(LabError):
    """A release cannot be made; the message names what is in the way."""


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
    earlier = _earlier_release(out, root)
    contents = student_files(root, repository, tag)
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        made.chmod(0o755)
        hashes = {name: _write(made / name, content) for name, content in contents.items()}
        manifest = {
            "schema": SCHEMA,
            "labkit": __version__,
            "repository": repository,
            "tag": tag,
            "files": hashes,
        }
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        _put_in_place(made, out, {*earlier, MANIFEST})
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return sorted([*hashes, MANIFEST])


def check_address(repository: str | None, tag: str | None) -> None:
    """Raise ReleaseError unless students' machines could clone `tag` of `repository`, as far as one
    can see.
    """
    if (repository is None) != (tag is None):
        raise ReleaseError("--repo and --tag go together: Colab fetches one tag of one repository")
    if repository is None or tag is None:
        return
    if "@" in repository:
        raise ReleaseError(
            f"repository {repository!r} has a user or a key in it, which students do not have; "
            "give the https address"
        )
    github = repository.startswith("https://github.com/")
    if not (GITHUB if github else URL).fullmatch(repository):
        raise ReleaseError(
            f"repository {repository!r} is no address to clone from; "
            "it should look like https://github.com/OWNER/REPO"
        )
    if (
        not TAG.fullmatch(tag)
        or tag.endswith(("/", ".", ".lock"))
        or any(two in tag for two in ("..", "//", "/."))
    ):
        raise ReleaseError(f"{tag!r} is no name of a git tag or branch")


def student_files(root: Path, repository: str | None, tag: str | None) -> dict[str, Path | bytes]:
    """What a release holds: name in the repository -> a file to copy, or the content."""
    found = {
        path.relative_to(root).as_posix(): path
        for pattern in COPIED
        for path in sorted(root.glob(pattern))
    }
    files: dict[str, Path | bytes] = {
        name: path
        for name, path in found.items()
        if not any(fnmatchcase(name, kept) for kept in KEPT_BACK)
    }
    for name in [name for name in files if name.endswith(".md") and not name.startswith("data/")]:
        title, _, text = found[name].read_text(encoding="utf-8").partition("\n")
        files[name] = f"{title}\n{SCRIPTS_STAY}{text}".encode()
    instructor = root / "notebooks" / "instructor"
    notebooks = {
        path.name: _stamped(path, repository, tag) for path in sorted(instructor.glob("*.ipynb"))
    }
    if not notebooks:
        raise ReleaseError(
            f"{instructor} holds no notebooks; a release is made from the instructor's checkout"
        )
    for name, notebook in notebooks.items():
        files[f"notebooks/{name}"] = copies.as_text(notebook).encode()
    for template in sorted((instructor / TEMPLATES).iterdir()):
        text = template.read_text(encoding="utf-8")
        files[template.name] = text.replace(
            "{notebooks}", _table(notebooks, repository, tag)
        ).encode()
    return files


def badge(name: str, repository: str | None, tag: str | None) -> str:
    """Markdown that opens a notebook in Colab; empty where Colab could not, which opens from GitHub
    alone.
    """
    github = GITHUB.fullmatch(repository or "")
    return BADGE.format(slug=github[1], tag=quote(tag or "", safe=""), name=name) if github else ""


def _stamped(path: Path, repository: str | None, tag: str | None) -> dict:
    """The students' copy of an instructor's notebook, with badge and address."""
    notebook = copies.student_copy(copies.read(path), path.name)
    opening, places = (
        notebook["cells"][0],
        [cell for cell in notebook["cells"] if PLACE in copies.source(cell)],
    )
    if opening["cell_type"] != "markdown" or len(places) != 1:
        raise ReleaseError(
            f"{path}: expected a title in markdown, and one code cell with the line"
            f" {PLACE.strip()!r}"
        )
    if repository:
        address = f'REPOSITORY, TAG = "{repository}", "{tag}"\n'
        places[0]["source"] = copies.lines(copies.source(places[0]).replace(PLACE, address))
    if badge(path.name, repository, tag):
        opening["source"] = [badge(path.name, repository, tag) + "\n", "\n", *opening["source"]]
    return notebook


def _table(notebooks: dict[str, dict], repository: str | None, tag: str | None) -> str:
    """The notebooks in Markdown, one line each: title, points, badge."""
    rows = ["| notebook | what it is about | points | |", "|---|---|---|---|"]
    for name, notebook in notebooks.items():
        title = re.search(r"^# (.+)$", copies.source(notebook["cells"][0]), re.MULTILINE)
        points = sum(
            int(header[2])
            for cell in notebook["cells"]
            if cell["cell_type"] == "code"
            for header in copies.EXERCISE.finditer(copies.source(cell))
        )
        rows.append(
            f"| [{name.removesuffix('.ipynb')}](notebooks/{name}) | {title[1] if title else ''} "
            f"| {points or ''} | {badge(name, repository, tag)} |"
        )
    return "\n".join(rows)


def _earlier_release(out: Path, root: Path) -> set[str]:
    """Files of the release that `out` holds, none if it is new or empty; ReleaseError if it holds
    other things.
    """
    if any(out.is_relative_to(root / folder) for folder in ("labkit", "data", "docs", "notebooks")):
        raise ReleaseError(
            f"{out} is inside of what a release is made from; choose a folder elsewhere"
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


def _put_in_place(made: Path, out: Path, earlier: set[str]) -> None:
    """Put the folder `made` in the place of `out`, with whatever is in there that is not of the
    earlier release.
    """
    if not out.exists():
        os.rename(made, out)
        return
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.")) / "old"
    try:
        os.rename(out, aside)
        os.rename(made, out)
    except BaseException:
        if aside.exists() and not out.exists():
            os.rename(aside, out)
        aside.parent.rmdir()
        raise
    _carry_over(aside, out, earlier)
    shutil.rmtree(aside.parent)


def _carry_over(old: Path, new: Path, earlier: set[str], inside: str = "") -> None:
    """Move what is in `old` and not in `earlier` to the same place in `new`, unless a new file is
    there.
    """
    for entry in sorted(old.iterdir()):
        name, target = inside + entry.name, new / entry.name
        mixed = any(file.startswith(f"{name}/") for file in earlier) or target.is_dir()
        if entry.is_dir() and not entry.is_symlink() and mixed:
            _carry_over(entry, target, earlier, f"{name}/")
        elif name not in earlier and not target.exists():
            new.mkdir(parents=True, exist_ok=True)
            os.rename(entry, target)
