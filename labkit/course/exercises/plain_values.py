"""Plain values: what crosses from the process of a student's code to the one that judges it.

They are None, bool, int, float, str, numpy arrays of numbers, and lists and dicts of them. In JSON,
numbers, strings, None and lists are themselves. A dict is `{"dict": {...}}`, an array is `{"array":
base64 of its bytes, "dtype": "<f8", "shape": [2, 3]}`. Nothing is unpickled, and an array is only
made once its bytes are there, so that a file cannot ask for more memory than it takes itself. Some
things take few characters here and much memory where they are read or judged, namely lists, dicts
and the rows of an array: these are counted before they are read.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import numpy as np

from labkit.course.exercises.exercise import Plain, Wrong

MAX_CHARACTERS = 16 * 2**20  # of one value as text
MAX_DEPTH = 12  # of lists and dicts in each other, when a text is read
MAX_RETURNED_DEPTH = 6  # the same, when a function returns them
# Lists and dicts of one text, and rows of one array, even empty ones: each may become an object.
MAX_OBJECTS = 2**18
NUMBER_KINDS = "biuf"


class BadValue(ValueError):
    """A text holds no plain value; the message says why."""


def plain(value: object, depth: int = 0) -> Plain:
    """`value` as plain values, copied; raises Wrong for what has no such form."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "detach"):  # a torch tensor, without importing torch
        value = value.detach().cpu().numpy()
    if isinstance(value, np.generic):
        return own_number(value)
    if isinstance(value, (Fraction, Decimal)):
        near = float(value)
        is_whole = near.is_integer() and int(value) == value  # such numbers stay exact
        return int(value) if is_whole else near
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in NUMBER_KINDS:
            raise Wrong(f"expected an array of numbers, got one of {value.dtype}")
        return value.copy()
    if depth < MAX_RETURNED_DEPTH and isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if depth < MAX_RETURNED_DEPTH and isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    raise Wrong(f"expected numbers or arrays, got a value of type {type(value).__name__}")


def own_number(value: np.generic) -> bool | int | float:
    """A numpy scalar as Python's own number, also one of a dtype that Python has no number for;
    raises Wrong for what is none.
    """
    if value.dtype.kind not in NUMBER_KINDS:
        raise Wrong(f"expected a number, got one of {value.dtype}")
    return float(value) if value.dtype.kind == "f" else value.item()


def dumps(value: object) -> str:
    """Plain `value` as JSON text."""
    return json.dumps(_packed(value))


def loads(text: str | bytes, *, of_a_student: bool = True) -> object:
    """The value that `dumps` made a text of; raises BadValue for any other text.

    A text that student code can have written is read up to MAX_CHARACTERS.
    """
    if of_a_student and len(text) > MAX_CHARACTERS:
        raise BadValue(
            f"returned values of {len(text) >> 20} MiB; at most {MAX_CHARACTERS >> 20} MiB are read"
        )
    check_count(text)
    try:
        packed = json.loads(text)
    except (ValueError, RecursionError):  # a number of more than 4,300 digits is a ValueError too
        raise BadValue("returned values that could not be read") from None
    return _unpacked(packed, 0)


def check_count(text: str | bytes) -> None:
    """Raise BadValue for a JSON text that may hold more than MAX_OBJECTS lists and dicts.

    Each takes two characters here and a hundred bytes in memory. Reading the text is one call,
    which no time limit can end, so it is looked at before.
    """
    opened = sum(map(text.count, "[{" if isinstance(text, str) else (b"[", b"{")))
    if opened > MAX_OBJECTS:
        raise BadValue(
            f"returned {opened:,} lists, dicts and arrays; at most {MAX_OBJECTS:,} are read"
        )


def _packed(value: object) -> object:
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value)
        return {
            "array": base64.b64encode(data.tobytes()).decode(),
            "dtype": data.dtype.str,
            "shape": list(value.shape),
        }
    if isinstance(value, np.generic):
        return own_number(value)
    if isinstance(value, dict):
        return {"dict": {str(key): _packed(item) for key, item in value.items()}}
    return [_packed(item) for item in value] if isinstance(value, (list, tuple)) else value


def _unpacked(packed: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise BadValue(f"returned values nested more than {MAX_DEPTH} deep")
    if isinstance(packed, list):
        return [_unpacked(item, depth + 1) for item in packed]
    if not isinstance(packed, dict):
        return packed
    if set(packed) == {"dict"} and isinstance(packed["dict"], dict):
        return {key: _unpacked(item, depth + 1) for key, item in packed["dict"].items()}
    if set(packed) == {"array", "dtype", "shape"}:
        return _array(packed["array"], packed["dtype"], packed["shape"])
    raise BadValue("returned values that are none of None, number, text, list, dict and array")


def _array(text: object, dtype: object, shape: object) -> np.ndarray:
    sizes = shape if isinstance(shape, list) and len(shape) <= 16 else [None]
    if not all(map(_is_size, sizes)):
        raise BadValue("a returned array with no proper shape")
    # Of an array without elements, every dimension may count rows that become objects.
    rows = math.prod(size or 1 for size in (sizes if 0 in sizes else sizes[:-1]))
    if rows > MAX_OBJECTS:
        raise BadValue(
            f"a returned array of shape {tuple(sizes)}; at most {MAX_OBJECTS:,} rows are read"
        )
    try:
        kind = np.dtype(dtype) if isinstance(dtype, str) and len(dtype) < 8 else None
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (TypeError, ValueError, SyntaxError, binascii.Error):
        kind = None
    is_number = kind is not None and kind.kind in NUMBER_KINDS
    if not is_number or kind.itemsize * math.prod(sizes) != len(data):
        raise BadValue("a returned array whose bytes do not fit its shape")
    return np.frombuffer(data, kind).reshape(sizes).copy()


def _is_size(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**40
