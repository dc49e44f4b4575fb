"""The house itself: who may import whom, how large the core is, and what things are called."""

import ast
import doctest
import io
import re
import shutil
import subprocess
import sys
import tokenize
from importlib import import_module
from pathlib import Path

import pytest

import labkit

PACKAGE = Path(labkit.__file__).parent
CORE = "space data tables runtime search supernet train latency deploy".split()
MODULES = sorted(PACKAGE.rglob("*.py"))

# Words that say nothing to a reader who has not seen the line above.
RIDDLES = {"found", "kept", "own", "given", "left", "wanted", "chosen", "fresh"}


def code_lines(path: Path) -> int:
    """Lines that hold code: no docstring, no comment, not blank."""
    source = path.read_text(encoding="utf-8")
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                docstrings.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent and token.type != tokenize.ENDMARKER:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def identifiers(path: Path) -> list[str]:
    """Every name that a module defines, reads, calls or passes, as often as it does."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for field in ("id", "arg", "attr", "name"):
            value = getattr(node, field, None)
            if isinstance(value, str) and not isinstance(node, (ast.alias, ast.ExceptHandler)):
                names.append(value)
    return names


def test_code_lines_are_counted_without_docstrings_and_comments(tmp_path):
    source = '"""Module."""\n\n# a comment\nx = (\n    1\n)\n\n'
    source += 'def f():\n    """Say."""\n    return x\n'
    (tmp_path / "module.py").write_text(source)
    assert code_lines(tmp_path / "module.py") == 3 + 2


def test_rooms_import_only_what_lies_below_them():
    """The contracts are in pyproject.toml; lint-imports names every import that breaks one."""
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("import-linter is not installed: pip install import-linter")
    done = subprocess.run(
        [command, "--no-cache"], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_core_is_small():
    lines = {room: sum(map(code_lines, (PACKAGE / room).rglob("*.py"))) for room in CORE}
    assert sum(lines.values()) <= 9720, lines


def test_the_root_holds_the_face_and_no_folder_is_crowded():
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}
    folders = {path.parent for path in MODULES}
    files = {str(folder.relative_to(PACKAGE)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {name: count for name, count in files.items() if count > 13} == {}


def test_module_names_are_not_told_apart_by_an_ending():
    """`board` beside `boards`, or `measure` beside `measuring`, says which is which to nobody."""

    def stem(name: str) -> str:
        return re.sub(r"(ies|es|s|ing|er|ed|e)$", "", name)

    for folder in {path.parent for path in MODULES}:
        names = [path.stem for path in folder.glob("*.py")]
        names += [path.name for path in folder.iterdir() if (path / "__init__.py").is_file()]
        stems = [stem(name) for name in names if name != folder.name]
        assert sorted(stems) == sorted(set(stems)), f"{folder}: {sorted(names)}"


def test_a_class_name_means_one_class():
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_identifiers_are_nouns_of_the_field():
    names = [(name, path) for path in MODULES for name in identifiers(path)]
    riddles = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for name, path in names
        if RIDDLES & set(re.findall(r"[a-z]+", name.lower()))
    ]
    assert len(riddles) < 2 * len(names) / 1000, sorted(set(riddles))


def modules_with_examples() -> list[str]:
    texts = [path for path in MODULES if ">>> " in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in texts]


@pytest.mark.parametrize("name", modules_with_examples())
def test_worked_examples_give_what_they_say(name):
    module = import_module(name.removesuffix(".__init__"))
    failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert tried and not failed
