"""A search space as plain data, as it stands in TOML files and in the headers of weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields

from labkit.space.search_space import SearchSpace
from labkit.space.stage import Stage
from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields, is_number


class SpaceError(LabError, ValueError):
    """A definition is no search space; the message names its source, the field and the value."""


def definition(space: SearchSpace) -> dict:
    """The fields of `space` as JSON has them; `space_from` makes an equal space of it."""
    return _plain(asdict(space))


def space_from(value: object, source: object, error: type[LabError] = SpaceError) -> SearchSpace:
    """The space that `definition` describes.

    Raises `error`, which names `source` and the field, for what is no definition.
    """
    content = Fields(value, source, error)
    arguments = _arguments(content, SearchSpace)
    # Files are called after it.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", arguments["name"]):
        content.fail("name", "1 to 60 letters, digits, '.', '-' and '_', a letter or digit first")
    try:
        stages = tuple(Stage(**_arguments(stage, Stage)) for stage in content.objects("stages"))
        return SearchSpace(**{**arguments, "stages": stages})
    except ValueError as problem:
        if isinstance(problem, error):
            raise
        raise error(f"{source}: {problem}") from None


def _arguments(content: Fields, kind: type) -> dict:
    """The constructor's arguments; what the numbers may be is for the constructor to say."""
    known = {field.name: field for field in fields(kind)}
    for name in content.value.keys() - known.keys():
        content.fail(name, f"one of the fields {', '.join(known)}")
    arguments = {}
    for name, field in known.items():
        optional = "None" in field.type
        if name not in content or (optional and content.value[name] is None):
            if field.default is MISSING:
                content.fail(name, "a value")
            continue
        value = content.value[name]
        if field.type.startswith("tuple[Stage"):
            content.get(name, list)
        elif field.type.startswith("tuple"):
            if not all(map(is_number, content.get(name, list))):
                content.fail(name, "a list of numbers")
        elif field.type == "float":
            value = float(content.positive(name))
        else:
            types = {"str": str, "bool": bool}
            content.get(name, types.get(field.type, int))
        arguments[name] = value
    return arguments


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (tuple, list)) else value
