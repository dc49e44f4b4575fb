"""Slices through top-level statements, by the names that they bind and use."""

import pytest

from labkit.course.slicing.module_slice import code_unit, slice_for, statement_units


def test_a_slice_holds_what_is_needed_and_nothing_else():
    units = statement_units(
        "import os, sys as system\nfrom a import b, c as d\nx = 1\ny = x + 1\nz = b(y)\n"
        "heavy = train(x)\nz.rate = 3\nx[0] = y\nshow(z)\ndef f(heavy):\n    return heavy + z\n"
    )
    assert [one.source for one in slice_for({"y"}, units)] == ["x = 1", "y = x + 1", "x[0] = y"]
    assert [one.source for one in slice_for({"d", "system"}, units)] == [
        "import sys as system",
        "from a import c as d",
    ]
    assert "heavy = train(x)" not in [one.source for one in slice_for({"f"}, units)]
    assert not slice_for(set(), units)


@pytest.mark.parametrize(
    "source",
    [
        "T = {}\nfor unit, n in (('hours', 24), ('days', 1)):\n    T[unit] = 1 / n",
        "T = dict(days=1)\nT.update(hours=1 / 24)",
        "T = {}\nT['a'], T['b'] = (1, 2)",
        "T = {}\nT['a']: int = 1",
        "T = {'a': [0]}\nT['a'][0] += 1",
        "T = []\nif True:\n    T.append(1)",
        "T = {}\nwith open('t') as file:\n    T.rows[0] = file.read()",
        "T = {'a': 1}\ndel T['a']",
    ],
)
def test_a_table_that_is_filled_step_by_step_is_kept_whole(source):
    assert "\n".join(one.source for one in slice_for({"T"}, statement_units(source))) == source


def test_what_a_function_changes_when_it_is_called_is_no_change():
    units = statement_units(
        "T = {}\ndef fill(heavy):\n    T['a'] = heavy\n    T.update(b=1)\nprint(T.items())\nshow(T)"
    )
    assert [one.source for one in slice_for({"T"}, units)] == ["T = {}"]


def test_names_are_those_of_the_global_scope():
    one = code_unit(
        "def f(images, *, rate=RATE):\n    global kept\n    kept = [x * scale for x in images]\n"
        "    return lambda y: y + z"
    )
    assert one.binds == {"f", "kept"} and one.uses == {"RATE", "scale", "z"}
