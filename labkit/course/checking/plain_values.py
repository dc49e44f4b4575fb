"""Plain values as JSON: what crosses between the process of a student's code and the one that
judges it.

Numbers, strings, None and lists are themselves. A dict is `{"dict": {...}}`, an array is `{"array":
base64 of its bytes, "dtype": "<f8", "shape": [2, 3]}`. Nothing is unpickled, and an array is only
made once its bytes are there, so that a file cannot ask for more memory than it takes itself. What
takes few characters here and much memory where it is read or judged is counted: lists and dicts,
and the rows of an array.
"""

from __future__ import annotations

import base64
import binascii
import json
import math

import numpy as np

LARGEST = 16 * 2**20  # characters of one value
DEEPEST = 12
MOST = (
    2**18
)  # lists and dicts of one text, and rows of one array, empty ones too: each may become an object
KINDS = "biuf"


class BadValue(ValueError):
    """A text holds no plain value; the message says why."""


def dumps(value: object) -> str:
    """Plain `value` as JSON text."""
    return json.dumps(_packed(value))


def loads(text: str | bytes) -> object:
    """The value that `dumps` made a text of; raises BadValue for any other text."""
    if len(text) > LARGEST:
        raise BadValue(
            f"returned values of {len(text) >> 20} MiB; at most {LARGEST >> 20} MiB are read"
        )
    check_count(text)
    try:
        packed = json.loads(text)
    except (
        ValueError,
        RecursionError,
        UnicodeDecodeError,
    ):  # a number of more than 4,300 digits is a ValueError too
        raise BadValue("returned values that could not be read") from None
    return _unpacked(packed, 0)


def check_count(text: str | bytes) -> None:
    """Raise BadValue for a JSON text that may hold more than MOST lists and dicts, a hundred bytes
    for two characters.

    Reading it is one call, which no limit of time ends, so it is looked at before.
    """
    opened = sum(map(text.count, "[{" if isinstance(text, str) else (b"[", b"{")))
    if opened > MOST:
        raise BadValue(f"returned {opened:,} lists, dicts and arrays; at most {MOST:,} are read")


def _packed(value: object) -> object:
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value)
        return {
            "array": base64.b64encode(data.tobytes()).decode(),
            "dtype": data.dtype.str,
            "shape": list(value.shape),
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {"dict": {str(key): _packed(item) for key, item in value.items()}}
    return [_packed(item) for item in value] if isinstance(value, (list, tuple)) else value


def _unpacked(packed: object, depth: int) -> object:
    if depth > DEEPEST:
        raise BadValue(f"returned values nested more than {DEEPEST} deep")
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
    if not all(
        isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**40 for size in sizes
    ):
        raise BadValue("a returned array with no proper shape")
    if math.prod(size or 1 for size in (sizes if 0 in sizes else sizes[:-1])) > MOST:
        raise BadValue(f"a returned array of shape {tuple(sizes)}; at most {MOST:,} rows are read")
    try:
        kind = np.dtype(dtype) if isinstance(dtype, str) and len(dtype) < 8 else None
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (TypeError, ValueError, SyntaxError, binascii.Error):
        kind = None
    if kind is None or kind.kind not in KINDS or kind.itemsize * math.prod(sizes) != len(data):
        raise BadValue("a returned array whose bytes do not fit its shape")
    return np.frombuffer(data, kind).reshape(sizes).copy()
