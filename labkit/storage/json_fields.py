"""The one way to read JSON: a file to its value, and a value field by field, with errors that say
which field of which file is wrong, what was expected there, and what stands there instead.

Whoever reads a kind of file passes the error class of that kind, so that callers can tell apart
what could not be read:

>>> fields = Fields({"name": "pi4", "sram": {"bytes": 320}}, "pi4.json", LabError)
>>> fields.text("name")
'pi4'
>>> fields.object("sram").amount("bytes")
320
>>> fields.object("sram").text("source")
Traceback (most recent call last):
...
labkit.storage.errors.LabError: pi4.json: field sram.source: want str, got None
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from labkit.storage.errors import LabError

Kind = type | tuple[type, ...]
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
HIGHEST_NUMBER = 1e15  # of any amount in a file; JSON integers may have thousands of digits


def number_in(text: str) -> float:
    """The number that a cell of a table holds. `float` takes more: 1_000, infinity, other digits.

    >>> number_in("2.5e-1")
    0.25
    """
    if not NUMBER.fullmatch(text):
        raise ValueError(f"want a number, such as 0.25, got {text[:40]!r}")
    return float(text)


def parse_json(data: bytes | str, source: object, error: type[LabError], advice: str) -> object:
    """The value of a JSON text, read strictly: a key that occurs twice in an object, NaN and
    infinite numbers (also 1e999) are errors.

    Raises `error`, whose message begins with `source` and ends with `advice`.
    """

    def unique_keys(pairs: list[tuple[str, object]]) -> dict:
        value = dict(pairs)
        if len(value) != len(pairs):
            keys = [key for key, _ in pairs]
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise error(f"{source}: key {repeated!r} occurs twice; {advice}")
        return value

    def refuse(text: str) -> NoReturn:
        raise error(f"{source}: {text} is not a finite number; {advice}")

    def finite(text: str) -> float:
        return float(text) if math.isfinite(float(text)) else refuse(text)

    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        return json.loads(
            text, object_pairs_hook=unique_keys, parse_constant=refuse, parse_float=finite
        )
    except (ValueError, RecursionError) as problem:
        if isinstance(problem, error):
            raise
        raise error(f"{source} is not valid JSON ({problem}); {advice}") from None


def read_json(
    path: Path, error: type[LabError], advice: str = "restore it from the repository"
) -> object:
    """The value in the JSON file `path`; raises `error`, which names `path` and ends with `advice`,
    where the file is missing, cannot be read, or is not strict JSON.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise error(f"{path} is missing; {advice}") from None
    except OSError as problem:
        raise error(f"{path} cannot be read ({problem}); {advice}") from None
    return parse_json(data, path, error, advice)


class Fields:
    """A JSON object whose fields are read one by one, each with the kind of value it must have.

    A method returns the field's value, or raises `error` with the message
    "SOURCE: field PREFIX.NAME: want KIND, got VALUE; ADVICE".
    """

    def __init__(
        self,
        value: object,
        source: object,
        error: type[LabError],
        *,
        prefix: str = "",
        advice: str = "",
    ) -> None:
        """`source` names the file, `prefix` says where in it `value` stands, such as "sram"."""
        self.source, self.error, self.prefix, self.advice = source, error, prefix, advice
        if not isinstance(value, Mapping):
            where = f"field {prefix}" if prefix else "the file"
            raise error(self._message(where, "an object", value))
        self.value = value

    def __contains__(self, name: str) -> bool:
        return name in self.value

    def fail(self, name: str, want: str) -> NoReturn:
        """Raise the error of a field that is not what it must be, described by `want`."""
        where = f"field {self.prefix}.{name}" if self.prefix else f"field {name}"
        raise self.error(self._message(where, want, self.value.get(name)))

    def get(self, name: str, kind: Kind) -> object:
        """The field as it is; a bool is no int."""
        value = self.value.get(name)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self.fail(name, " or ".join(each.__name__ for each in kinds))
        return value

    def text(self, name: str) -> str:
        return self.get(name, str)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """A text that is one of `choices`."""
        if self.text(name) not in choices:
            self.fail(name, f"one of {', '.join(choices)}")
        return self.value[name]

    def positive(self, name: str) -> float:
        return self._number(name, "a positive number", above=True)

    def amount(self, name: str) -> float:
        return self._number(name, "a number of at least 0", above=False)

    def object(self, name: str) -> Fields:
        return self._inside(self.value.get(name), name)

    def objects(self, name: str) -> Iterator[Fields]:
        """Each object of a list."""
        for i, value in enumerate(self.get(name, list)):
            yield self._inside(value, f"{name}[{i}]")

    def require_schema(self, schema: object) -> None:
        if self.value.get("schema") != schema:
            self.fail("schema", f"{schema!r}, which this version reads")

    def _number(self, name: str, want: str, *, above: bool) -> float:
        value = self.value.get(name)
        if not is_number(value) or value < 0 or (above and value == 0):
            self.fail(name, want)
        return value

    def _inside(self, value: object, name: str) -> Fields:
        prefix = f"{self.prefix}.{name}" if self.prefix else name
        return Fields(value, self.source, self.error, prefix=prefix, advice=self.advice)

    def _message(self, where: str, want: str, value: object) -> str:
        message = f"{self.source}: {where}: want {want}, got {repr(value)[:60]}"
        return f"{message}; {self.advice}" if self.advice else message


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number that a float holds (no bool, no huge integer)."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) < HIGHEST_NUMBER
    )
