"""What a release holds: which files are copied, and notebooks with the course's address in them.

What is in a release is listed here (`COPIED`), so that nothing gets in because it lies in a folder.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from labkit.course.handout.notebook_file import (
    as_text,
    cell_source,
    code_sources,
    read,
    source_lines,
    text_sources,
)
from labkit.course.handout.student_copy import EXERCISE, WRITTEN_TASK, student_copy
from labkit.storage.errors import LabError

# Folder beside the instructor's notebooks: README, Makefile and workflow that students get.
TEMPLATES = "student-repository"

COPIED = (
    "LICENSE",
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "environment.yml",
    "notebooks/install.py",
    ".gitignore",
    ".devcontainer/devcontainer.json",
    ".binder/*",
    "labkit/**/*.py",
    "labkit/firmware/engine/*",
    "labkit/firmware/board/*",
    "labkit/firmware/example/*",
    "labkit/course/explorer/page/*",
    "docs/*.png",
    "docs/explorer.html",
    "docs/training.md",
    "docs/your-own.md",
    "docs/latency-files.md",
    "docs/latency-file.schema.json",
    "docs/coming-from-ofa.md",
    "benchmarks/*.md",
    "data/README.md",
    "data/fashion-mnist/*.gz",
    "data/supernets/*/*.safetensors",
    "data/**/*.json",
    "data/**/*.npz",
)
WITHHELD = (
    "labkit/course/grading/*",
    "labkit/course/gradebook/*",
    "labkit/course/hand_ins/*",
    "labkit/course/release/*",
    "labkit/cli/course/release.py",
    "labkit/cli/course/grade.py",
    "data/*checkpoint*",
    "*/.*",
)

NOTE_ON_SCRIPTS = (
    "\n> The scripts in `benchmarks/` that this page names are in the instructor's repository.\n"
)

# A line of every notebook's first code cell, from which Colab fetches the course.
ADDRESS_LINE = 'REPOSITORY, TAG = "{repository}", "{tag}"\n'
PLACEHOLDER = ADDRESS_LINE.format(repository="https://github.com/OWNER/REPO", tag="main")
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", re.ASCII)
URL = re.compile(r"(?:https?|file)://[\w.~:/%+-]+", re.ASCII)
TAG = re.compile(r"\w[\w./+-]*", re.ASCII)
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{slug}/blob/{tag}/notebooks/{name})"
)


class ReleaseError(LabError):
    """A release cannot be made; the message names what is in the way."""


def check_address(repository: str | None, tag: str | None) -> None:
    """Raise ReleaseError unless students' machines could clone `tag` of `repository`, as far as its
    form tells.
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
    pattern = GITHUB if repository.startswith("https://github.com/") else URL
    if not pattern.fullmatch(repository):
        raise ReleaseError(
            f"repository {repository!r} is no address to clone from; "
            "it should look like https://github.com/OWNER/REPO"
        )
    refused_by_git = tag.endswith(("/", ".", ".lock")) or re.search(r"\.\.|//|/\.", tag)
    if not TAG.fullmatch(tag) or refused_by_git:
        raise ReleaseError(f"{tag!r} is no name of a git tag or branch")


def student_files(root: Path, repository: str | None, tag: str | None) -> dict[str, Path | bytes]:
    """What a release holds: name in the repository -> a file to copy, or the content."""
    files: dict[str, Path | bytes] = {}
    for pattern in COPIED:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            if any(fnmatchcase(name, withheld) for withheld in WITHHELD):
                continue
            is_page = name.endswith(".md") and not name.startswith("data/")
            files[name] = _page(path) if is_page else path
    instructor = root / "notebooks" / "instructor"
    notebooks = {
        path.name: _stamped(path, repository, tag) for path in sorted(instructor.glob("*.ipynb"))
    }
    if not notebooks:
        raise ReleaseError(
            f"{instructor} holds no notebooks; a release is made from the instructor's checkout"
        )
    for name, notebook in notebooks.items():
        files[f"notebooks/{name}"] = as_text(notebook).encode()
    table = _table(notebooks, repository, tag)
    templates = instructor / TEMPLATES
    for template in sorted(path for path in templates.rglob("*") if path.is_file()):
        text = template.read_text(encoding="utf-8")
        name = template.relative_to(templates).as_posix()
        tour = (
            badge(next(iter(notebooks)), repository, tag) or "Colab opens notebooks on GitHub only."
        )
        files[name] = text.replace("{notebooks}", table).replace("{badge}", tour).encode()
    return files


def _page(path: Path) -> bytes:
    """A page in Markdown, with a note under its title where the scripts are that it names."""
    title, _, text = path.read_text(encoding="utf-8").partition("\n")
    return f"{title}\n{NOTE_ON_SCRIPTS}{text}".encode()


def badge(name: str, repository: str | None, tag: str | None) -> str:
    """Markdown that opens a notebook in Colab; empty for other hosts than GitHub, from which alone
    Colab opens notebooks.
    """
    github = GITHUB.fullmatch(repository or "")
    return BADGE.format(slug=github[1], tag=quote(tag or "", safe=""), name=name) if github else ""


def _stamped(path: Path, repository: str | None, tag: str | None) -> dict:
    """The students' copy of an instructor's notebook, with badge and address."""
    notebook = student_copy(read(path), path.name)
    title = notebook["cells"][0]
    bootstraps = [cell for cell in notebook["cells"] if PLACEHOLDER in cell_source(cell)]
    if title["cell_type"] != "markdown" or len(bootstraps) != 1:
        raise ReleaseError(
            f"{path}: expected a title in markdown, and one code cell with the line"
            f" {PLACEHOLDER.strip()!r}"
        )
    if repository:
        address = ADDRESS_LINE.format(repository=repository, tag=tag)
        source = cell_source(bootstraps[0]).replace(PLACEHOLDER, address)
        bootstraps[0]["source"] = source_lines(source)
    markdown = badge(path.name, repository, tag)
    if markdown:
        title["source"] = [markdown + "\n", "\n", *title["source"]]
    return notebook


def _table(notebooks: dict[str, dict], repository: str | None, tag: str | None) -> str:
    """The notebooks in Markdown, one line each: title, points, badge."""
    rows = ["| notebook | what it is about | points | |", "|---|---|---|---|"]
    for name, notebook in notebooks.items():
        heading = re.search(r"^# (.+)$", cell_source(notebook["cells"][0]), re.MULTILINE)
        title = heading[1] if heading else ""
        headers = [h for text in code_sources(notebook) for h in EXERCISE.finditer(text)]
        headers += [h for text in text_sources(notebook) for h in WRITTEN_TASK.finditer(text)]
        points = sum(int(header["points"]) for header in headers) or ""
        link = f"[{name.removesuffix('.ipynb')}](notebooks/{name})"
        rows.append(f"| {link} | {title} | {points} | {badge(name, repository, tag)} |")
    return "\n".join(rows)
