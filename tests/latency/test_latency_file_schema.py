"""The JSON Schema of latency files, by a library that knows nothing of labkit, and its checks."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from latency_for_tests import TINY, made_up, own_cache  # noqa: F401  (a fixture)

import labkit
from labkit.latency.measured.latency_file import validate
from labkit.latency.measured.untrusted_json import TableError
from labkit.space import get_space
from labkit.storage.paths import data_dir

jsonschema = pytest.importorskip("jsonschema")
SCHEMA = json.loads(
    (Path(labkit.__file__).parents[1] / "docs" / "latency-file.schema.json").read_text()
)
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def test_files_that_labkit_takes_follow_the_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert not list(CHECK.iter_errors(made_up()))
    shipped = sorted((data_dir() / "latency" / "epyc-1core").glob("*.json"))
    assert [path.stem for path in shipped] == ["cifar10", "fmnist"]
    for path in shipped:
        value = json.loads(path.read_text())
        assert validate(value, Path("x")) == get_space(path.stem)
        assert not list(CHECK.iter_errors(value))


def places(value, path=()):
    """Every field, a few of each list and of the blocks."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    for key, inner in items if path[:1] != ("pieces",) else items[:5]:
        if path != ("subnets",) or key < 2:
            yield (*path, key)
            if isinstance(inner, (dict, list)):
                yield from places(inner, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("other", [None, True, -1, "x", [], {}, 1e9], ids=repr)
def test_what_the_schema_refuses_labkit_refuses(other):
    """Any one value replaced by another."""
    value = made_up(subnets=8)
    refused = 0
    for path in places(value):
        changed = copy.deepcopy(value)
        at(changed, path[:-1])[path[-1]] = other
        if any(CHECK.iter_errors(changed)):
            refused += 1
            with pytest.raises(TableError):
                validate(changed, Path("x"), TINY)
    assert refused > 40


@pytest.mark.parametrize("field", SCHEMA["required"])
def test_required_fields_are_required(field):
    value = made_up()
    del value[field]
    assert list(CHECK.iter_errors(value))
    with pytest.raises(TableError):
        validate(value, Path("x"), TINY)
