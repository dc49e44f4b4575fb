"""The part of a notebook that a function needs: its cells, with every other statement left out.

The notebook is taken to have run from top to bottom as far as one of its cells, and a name means
what it means there: the last statement that binds it counts, with all that changes its value
afterwards. What the cells above do not bind is looked for in the cells below, and then in the
course's notebook as it is handed out, for what a student deleted.

Besides what the function needs, a slice holds the student's statements that set how an imported
module or a class works, and those that may bind any name, such as `from math import *`.

What changes a value under another name or in a function of a function cannot be told from the text.
So there is a wider slice as well, for answers that are not right in the first: it holds all that
the student wrote above, as far as it needs nothing that takes the course long to make.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from labkit.course.slicing.cell_statements import OPEN_CALLS, Names, Statement, cell_statements

BUILTINS = frozenset(dir(builtins)) | {"get_ipython"}
# What code uses that may read any global name: `get_ipython().user_ns`, `sys.modules["__main__"]`.
READERS = OPEN_CALLS | {"eval", "get_ipython"}
READERS_IN_TEXT = ("__main__", "__name__", "f_globals", "__globals__")


class Cell(NamedTuple):
    """A code cell of a notebook, and whether it is the course's, as it was handed out."""

    source: str
    is_course: bool = False


class SlicedCell(NamedTuple):
    """What is left of a cell, and which of the notebook's cells it is; None where it is not one of
    them.
    """

    source: str
    place: int | None


@dataclass
class _Line:
    """A statement, which cell it is in, and which names it binds and changes, by calls as well."""

    statement: Statement
    cell: int
    is_course: bool
    binds: Names
    changes: Names


class NotebookSlice:
    """What `function` needs of a notebook, `cells`, that has run as far as its cell number `last`.
    `course` are the cells of the course.
    """

    def __init__(
        self, function: str, cells: list[Cell], last: int, course: Iterable[str] = ()
    ) -> None:
        self.function = function
        course_cells = [Cell(source, is_course=True) for source in course]
        self.cells, self.course_count = [*course_cells, *cells], len(course_cells)
        self.lines: list[_Line] = []
        counts = []
        for number, cell in enumerate(self.cells):
            counts.append(len(self.lines))
            self.lines += [
                _Line(statement, number, cell.is_course, statement.binds, statement.changes)
                for statement in statements_of(cell.source)
            ]
        counts.append(len(self.lines))
        start, end = counts[self.course_count], counts[self.course_count + last + 1]
        self.course, self.above = range(start), range(start, end)
        self.below = range(end, len(self.lines))
        self.lines_of_name: dict[str, list[int]] = {}
        # Names of imported modules, of functions and classes, and of what costs nothing to make.
        self.imported, self.defined, heavy = set(), set(), set()
        for i, line in enumerate(self.lines):
            for called in self._functions_called(line.statement):
                line.binds |= called.later_binds
                line.changes |= called.later_changes
            for name in line.binds | line.changes:
                self.lines_of_name.setdefault(name, []).append(i)
            names = {"import": self.imported, "definition": self.defined}
            if line.statement.kind != "constant":
                names.get(line.statement.kind, heavy).update(line.statement.binds)
        self.light = BUILTINS.union(self.lines_of_name) - heavy

    def defining_cell(self) -> int | None:
        """The number of the notebook's cell that defines the function; None where none does."""
        for i in reversed(self._values(self.function, None)):
            if self.function in self.lines[i].binds and i not in self.course:
                return self.lines[i].cell - self.course_count
        return None

    def sliced_cells(self) -> list[SlicedCell]:
        """What is left of the cells, in the order in which they run."""
        return self._cells(*self._needed(set()))

    def wider_cells(self) -> list[SlicedCell]:
        """The same with the student's other statements above; none where these change nothing."""
        needed, _ = self._needed(set())
        others = self._others(needed)
        statements = [self.lines[i].statement for i in needed]
        reads_any = any(
            one.opens
            or one.later_uses & READERS
            or any(name in one.source for name in READERS_IN_TEXT)
            for one in statements
        )
        if not reads_any and all(self.lines[i].statement.is_plain for i in others):
            return []
        return self._cells(*self._needed(others))

    def _cells(self, needed: set[int], hoisted: set[int]) -> list[SlicedCell]:
        by_cell: dict[int, set[int]] = {}
        for i in sorted(needed):
            by_cell.setdefault(self.lines[i].cell, set()).add(i)
        sliced = [SlicedCell(self.lines[i].statement.source, None) for i in sorted(hoisted)]
        for number, indices in by_cell.items():
            place = number - self.course_count
            statements = [self.lines[i].statement for i in indices]
            source = cell_with(self.cells[number].source, statements)
            sliced.append(SlicedCell(source, place if place >= 0 else None))
        return sliced

    def _functions_called(self, statement: Statement) -> list[Statement]:
        """The functions above that a statement mentions outside of functions of its own."""
        if statement.shows:
            return []
        names = statement.uses - {self.function}
        lines = [i for name in names for i in self.lines_of_name.get(name, ())]
        return [self.lines[i].statement for i in lines]

    def _others(self, needed: set[int]) -> set[int]:
        """The student's lines above that are not needed and use nothing that the course computes
        and the needed lines do not.
        """
        others, computed = set(), set()
        for i in [*self.course, *self.above]:
            line = self.lines[i]
            statement = line.statement
            runs = not computed & (statement.uses | statement.later_uses)
            if line.is_course:
                runs &= statement.kind in ("import", "definition", "constant")
            elif runs and not statement.shows and i not in needed:
                others.add(i)
            if runs or i in needed:
                computed -= line.binds
            else:
                computed |= line.binds
        return others

    def _needed(self, others: set[int]) -> tuple[set[int], set[int]]:
        """The lines that are needed by the function and by `others`, and imports of cells below
        that have to run first.
        """
        needed, hoisted = set(), set()
        tasks: list[tuple[int, int | None]] = [(i, None) for i in others]
        tasks += [(i, None) for i in self._values(self.function, None)]
        tasks += [(i, None) for i in self.above if self._always_runs(self.lines[i])]
        visited = set()
        while tasks:
            task = tasks.pop()
            if task in visited:
                continue
            visited.add(task)
            # A line, and before which line the functions that it defines are called.
            i, called_at = task
            needed.add(i)
            statement = self.lines[i].statement
            for used in statement.later_uses:
                tasks += [(j, called_at) for j in self._values(used, called_at)]
            for used in statement.uses:
                values = self._values(used, i)
                tasks += [(j, i) for j in values]
                if not values and used not in BUILTINS:
                    hoisted.update(self._imports_below(used))
        return needed, hoisted

    def _values(self, name: str, before: int | None) -> list[int]:
        """The lines that give `name` the value that it has when line `before` is about to run;
        without `before`, when the notebook has run as far as it should.
        """
        course, everything = self.course, len(self.lines)
        if before is None:
            values = self._values_among(self.above, name, everything)
            if all(self.lines[i].is_course for i in values):
                # What a student defines below wins over what only the course binds above.
                values = self._definitions_below(name) or values
            if values or name in BUILTINS:
                return values
            searches = [(self.below, everything), (course, everything)]
        elif before in self.below:
            searches = [(self.below, before), (self.above, everything), (course, everything)]
        elif before in self.above:
            searches = [(self.above, before), (course, everything)]
        else:
            searches = [(course, before)]
        values_by_range = (self._values_among(lines, name, stop) for lines, stop in searches)
        return next(filter(None, values_by_range), [])

    def _values_among(self, lines: range, name: str, before: int) -> list[int]:
        """The same among some lines: none where none of them binds the name."""
        values, is_bound = [], False
        for i in reversed(self.lines_of_name.get(name, [])):
            if i in lines and i < before:
                line = self.lines[i]
                is_bound |= name in line.binds
                if name in line.binds or self._changes(line, name):
                    values.append(i)
                if name in line.statement.binds and line.statement.rebinds:
                    break
        return values[::-1] if is_bound else []

    def _definitions_below(self, name: str) -> list[int]:
        """The last function, class or import of that name which a student put below."""
        lines = [i for i in self.lines_of_name.get(name, []) if i in self.below]
        of_student = [i for i in lines if not self.lines[i].is_course]
        return [i for i in of_student if self.lines[i].statement.kind in ("definition", "import")][
            -1:
        ]

    def _imports_below(self, name: str) -> list[int]:
        lines = [i for i in self.lines_of_name.get(name, []) if i in self.below]
        return [i for i in lines if self.lines[i].statement.kind == "import"][-1:]

    def _changes(self, line: _Line, name: str) -> bool:
        """Whether a line changes what has a name. An imported module is not changed by calls over
        values that somebody has computed, such as plt.plot(losses).
        """
        if name not in self.imported or not line.statement.by_call:
            return True
        return line.statement.kind != "definition" and self._is_light(line)

    def _is_light(self, line: _Line) -> bool:
        return line.statement.uses - line.statement.binds <= self.light

    def _always_runs(self, line: _Line) -> bool:
        statement = line.statement
        if line.is_course:
            return False
        if statement.kind == "setting" and line.changes & (self.imported | self.defined):
            return not statement.by_call or self._is_light(line)
        return statement.opens


def statements_of(source: str) -> tuple[Statement, ...]:
    """The statements of a cell; none of one that is not Python, and so does not run at all."""
    try:
        return cell_statements(source)[1]
    except TimeoutError:
        raise
    except Exception:  # IPython's reader of magics raises what it pleases
        return ()


def cell_with(source: str, statements: Iterable[Statement]) -> str:
    """The plain source of a cell with no other statements than these, each on its line."""
    plain, all_statements = cell_statements(source)
    needed = set(map(id, statements))
    parts_of_place: dict[tuple[int, int], list[Statement]] = {}
    for statement in all_statements:
        parts_of_place.setdefault((statement.start, statement.end), []).append(statement)
    text = plain.encode()
    for (start, end), parts in reversed(parts_of_place.items()):
        remaining = [part for part in parts if id(part) in needed]
        if len(remaining) == len(parts) or _is_docstring(parts[0]):
            continue
        replacement = "; ".join(part.source for part in remaining) or "pass"
        # As many lines as before, so that messages name the lines that the student sees.
        goes_on = text[end:].lstrip(b" \t").startswith(b";")
        line_ends = (" \\\n" if goes_on else "\n") * text[start:end].count(b"\n")
        text = text[:start] + (replacement + line_ends).encode() + text[end:]
    return text.decode()


def _is_docstring(statement: Statement) -> bool:
    """Whether a statement is only a text, before which nothing else may stand."""
    node = statement.node
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
