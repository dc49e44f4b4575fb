"""Tables of block keys and milliseconds: written to be filled in, imported whole or refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from latency_for_tests import TINY, made_up, own_cache  # noqa: F401  (a fixture)
from spaces_for_tests import WIDE

from labkit.cli.latency.lut import lut
from labkit.comparison.side_by_side import measured_names, side_by_side
from labkit.latency.devices import device_names, get_device
from labkit.latency.kit import block_times
from labkit.latency.kit.block_times import read_csv, read_object, write_keys
from labkit.latency.kit.board_import import import_table, remove_tables
from labkit.latency.measured.blocks import timed_blocks
from labkit.latency.measured.lookup_table import build_table
from labkit.latency.measured.untrusted_json import TableError
from labkit.latency.table_export import export_table
from labkit.space import Arch
from labkit.space.presets import FMNIST, spaces
from labkit.tables.costs import macs_table


def times_of(value: dict) -> dict[str, float]:
    """What somebody who timed the same board with another program would have written down."""
    times = {key: timing["median_ms"] for key, timing in value["pieces"].items()}
    for subnet in value["subnets"]:
        times[str(Arch.from_json(subnet["arch"]))] = subnet["median_ms"]
    return times


def filled_in(path: Path, space, times: dict[str, float]) -> Path:
    """The CSV of keys that labkit writes, with the milliseconds in it."""
    write_keys(space, path, 20)
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *([key, times[key], *rest] for key, _, *rest in rows)])
    return path


@pytest.mark.parametrize("space", [TINY, WIDE], ids=lambda space: space.name)
def test_a_table_of_times_makes_the_same_device_as_the_kits_file(tmp_path, space):
    value = made_up(space)
    times = times_of(value)
    expected = build_table(value, space).table
    genes = space.sample(np.random.default_rng(0), 30)
    (tmp_path / "times.json").write_text(json.dumps(times))
    tables = [
        import_table(
            filled_in(tmp_path / "times.csv", space, times),
            "by-csv",
            space,
            read_times=read_csv,
            board="Pixel 4, TFLite",
        ),
        import_table(tmp_path / "times.json", "by-json", space, read_times=read_object),
    ]
    for table in tables:
        assert len(table.errors) == len(times) - len(timed_blocks(space))
        np.testing.assert_allclose(table.table(genes), expected(genes), rtol=1e-6)
    device = get_device("by-csv")
    np.testing.assert_array_equal(device.latency_table(space)(genes), tables[0].table(genes))
    assert device.kind == "measured" and device.title.startswith("Pixel 4, TFLite (table of times")


def test_keys_say_what_is_to_be_measured(tmp_path):
    write_keys(TINY, tmp_path / "keys.csv", 12)
    with open(tmp_path / "keys.csv", newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    blocks = timed_blocks(TINY)
    assert list(rows)[: len(blocks)] == list(blocks)
    archs = [Arch.parse(key) for key in list(rows)[len(blocks) :]]
    assert {TINY.smallest(), TINY.largest()} <= set(archs) and 6 <= len(archs) <= 12
    macs = [1e6 * float(rows[str(arch)]["million_macs"]) for arch in archs]
    np.testing.assert_allclose(macs, macs_table(TINY)(TINY.encode(archs)))
    assert rows[str(archs[0])]["model_in_kit"] == "models/subnet-0.onnx"
    assert {row["milliseconds"] for row in rows.values()} == {""}


def test_what_was_not_timed_may_stay_blank(tmp_path):
    """Whole subnets, and all of a resolution, though subnets of it were timed."""
    times = times_of(made_up(WIDE))
    side = WIDE.resolutions[0]
    part = replace(WIDE, resolutions=WIDE.resolutions[1:])
    blank = {key: "" for key in timed_blocks(WIDE) if key not in timed_blocks(part)}
    subnets = [key for key in times if key not in timed_blocks(WIDE)]
    blank |= dict.fromkeys([key for key in subnets if not key.startswith(f"{side}px")][:3], "")
    assert any(key.startswith(f"{side}px") for key in subnets)
    path = filled_in(tmp_path / "times.csv", WIDE, {**times, **blank})
    table = import_table(path, "my-phone", WIDE, read_times=read_csv)
    assert table.table.space == part
    genes = part.sample(np.random.default_rng(0), 9)
    device = get_device("my-phone")
    np.testing.assert_array_equal(device.latency_table(part)(genes), table.table(genes))
    assert device.known_part(WIDE) == device.known_part(part) == part
    assert device.known_part(TINY) == TINY  # nothing is known of it, and using it says so


def test_a_board_has_one_table_for_a_space(tmp_path):
    """Whatever resolutions it is for: of two, a search could only take one."""
    times = times_of(made_up(WIDE))
    part = replace(WIDE, resolutions=WIDE.resolutions[:1])
    slow = {key: 3 * times[key] for key in timed_blocks(part)}
    (tmp_path / "all.json").write_text(json.dumps(times))
    (tmp_path / "part.json").write_text(json.dumps(slow))
    genes = part.sample(np.random.default_rng(0), 9)
    for name in ("all", "part", "all"):
        table = import_table(tmp_path / f"{name}.json", "my-phone", WIDE, read_times=read_object)
        device = get_device("my-phone")
        assert list(device.files.values()) == [device.latency_file(table.table.space)]
        np.testing.assert_array_equal(
            device.latency_table(part)(genes), table.table.part(part)(genes)
        )
    remove_tables("my-phone", part)
    assert "my-phone" not in device_names()


def test_a_table_without_subnets_for_some_resolutions_travels_as_a_file(tmp_path, monkeypatch):
    times = times_of(made_up(WIDE))
    part = replace(WIDE, resolutions=WIDE.resolutions[:1])
    (tmp_path / "part.json").write_text(json.dumps({key: times[key] for key in timed_blocks(part)}))
    import_table(tmp_path / "part.json", "mine", WIDE, read_times=read_object)
    device = get_device("mine")
    shared = export_table(device.known_part(WIDE), device, tmp_path / "shared.json")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "other"))
    table = import_table(shared, "theirs")
    genes = part.sample(np.random.default_rng(0), 9)
    np.testing.assert_array_equal(table.table(genes), device.latency_table(part)(genes))
    shown = side_by_side(WIDE, [get_device("pi4"), get_device("theirs")])
    assert shown["resolutions"] == [*part.resolutions] and shown["devices"][1]["subnets"] == 0


def test_devices_with_tables_for_some_resolutions_are_compared_without_names(tmp_path, monkeypatch):
    """Those that share none with the ones before are left out by name."""
    monkeypatch.setitem(spaces, "wide", WIDE)
    times = times_of(made_up(WIDE))
    sides = {"first": WIDE.resolutions[:1], "second": WIDE.resolutions, "third": (16,)}
    for name, resolutions in sides.items():
        blocks = timed_blocks(replace(WIDE, resolutions=resolutions))
        (tmp_path / "some.json").write_text(json.dumps({key: times[key] for key in blocks}))
        import_table(tmp_path / "some.json", name, WIDE, read_times=read_object)
    assert measured_names(WIDE) == [*sides] and measured_names(TINY) == []
    shown = CliRunner().invoke(lut, ["compare", "--supernet", "wide", "--json"])
    compared = json.loads(shown.stdout)
    assert compared["resolutions"] == [12]
    assert [device["name"] for device in compared["devices"]] == ["first", "second"]
    assert "in all of those shown: third; name them" in shown.stderr


@given(st.data())
def test_an_archs_text_is_read_back(data):
    space = data.draw(st.sampled_from([TINY, WIDE, FMNIST]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    (arch,) = space.decode(space.sample(np.random.default_rng(seed), 1))
    assert Arch.parse(str(arch)) == arch


@pytest.mark.parametrize("text", ["", "28", "28px k3", "28px k3e2 |k5", "px k3e2", "28px xk3e2"])
def test_another_text_is_no_arch(text):
    with pytest.raises(ValueError, match="an arch is written like"):
        Arch.parse(text)


FIRST = next(iter(timed_blocks(TINY)))
BAD_CSV = {
    "line 1 is 'key;milliseconds'; want a header with the columns key and milliseconds": (
        lambda text: text.replace("key,milliseconds", "key;milliseconds")
    ),
    "line 1 is 'key,microseconds'": lambda text: text.replace("milliseconds", "microseconds"),
    "line 1 is ''": lambda text: "",
    f"row 2, key '{FIRST}': want milliseconds, such as 0.25, got '0,04'": (
        lambda text: "\n".join([*text.splitlines()[:1], f'{FIRST},"0,04"', *text.splitlines()[2:]])
    ),
    "1 of .* blocks are missing, such as.*labkit lut keys": (
        lambda text: "\n".join([*text.splitlines()[:1], f"{FIRST},", *text.splitlines()[2:]])
    ),
    f"'{FIRST}' is -1.0; want milliseconds between": (
        lambda text: "\n".join([*text.splitlines()[:1], f"{FIRST},-1", *text.splitlines()[2:]])
    ),
    f"row 2, key '{FIRST}': want milliseconds, such as 0.25, got '1_000'": (
        lambda text: "\n".join([*text.splitlines()[:1], f"{FIRST},1_000", *text.splitlines()[2:]])
    ),
    f"row 2, key '{FIRST}': want milliseconds, such as 0.25, got 'nan'": (
        lambda text: "\n".join([*text.splitlines()[:1], f"{FIRST},nan", *text.splitlines()[2:]])
    ),
    "row 2 has 3 cells, want 2": lambda text: text.replace(f"{FIRST},", f"{FIRST},0,"),
    f"key '{FIRST}' occurs twice": lambda text: text + f"{FIRST},1\n",
    "1 of .* blocks are missing, such as": (
        lambda text: "\n".join([*text.splitlines()[:1], *text.splitlines()[2:]])
    ),
    "'block-9' is no block of space 'tiny' and no subnet": lambda text: text + "block-9,1\n",
    "resolution 99 is not in space": lambda text: text + "99px k3e2 | k3e2,1\n",
    "is no CSV file": lambda text: text + '"open',
}


@pytest.mark.parametrize("message", BAD_CSV)
def test_bad_tables_are_named_and_nothing_is_imported(tmp_path, message):
    times = times_of(made_up())
    text = "key,milliseconds\n" + "".join(f"{key},{ms}\n" for key, ms in times.items())
    path = tmp_path / "times.csv"
    path.write_text(BAD_CSV[message](text))
    with pytest.raises(TableError, match=message) as error:
        import_table(path, "my-board", TINY, read_times=read_csv)
    assert str(path) in str(error.value) and "my-board" not in device_names()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00k", b"key,milliseconds\n\x00,1"])
def test_what_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "times.csv").write_bytes(content)
    with pytest.raises(TableError, match="times.csv"):
        import_table(tmp_path / "times.csv", "my-board", TINY, read_times=read_csv)


@pytest.mark.parametrize("ms", ["0.1", True, None, [1], -1])
def test_a_json_tables_values_are_milliseconds(tmp_path, ms):
    times = {**times_of(made_up()), FIRST: ms}
    (tmp_path / "times.json").write_text(json.dumps(times))
    with pytest.raises(TableError, match=f"{FIRST}.*want milliseconds"):
        import_table(tmp_path / "times.json", "my-board", TINY, read_times=read_object)


def test_the_command_imports_a_table_and_warns_where_it_holds_no_subnets(tmp_path):
    write, imported = CliRunner(), CliRunner()
    done = write.invoke(lut, ["keys", "--supernet", "tiny", "--out", str(tmp_path / "keys.csv")])
    assert done.exit_code == 0 and "--format csv" in done.output
    blocks = {key: timing["median_ms"] for key, timing in made_up()["pieces"].items()}
    path = tmp_path / "times.json"
    path.write_text(json.dumps(blocks))
    command = ["import", str(path), "--name", "my-board", "--format", "json"]
    done = imported.invoke(lut, command)
    assert done.exit_code == 2 and "does not say its space; add --supernet" in done.output
    done = imported.invoke(lut, [*command, "--supernet", "tiny"])
    assert done.exit_code == 0 and "warning: it holds no whole subnets" in done.stderr
    assert "device 'my-board' is ready for space 'tiny'" in done.stdout
    genes = TINY.sample(np.random.default_rng(0), 9)
    table = get_device("my-board").latency_table(TINY)
    expected = build_table(made_up(subnets=0), TINY).table
    np.testing.assert_allclose(table(genes), expected(genes))
    done = imported.invoke(lut, ["import", str(path), "--name", "my-board", "--board", "a phone"])
    assert done.exit_code == 2 and "leave --board out" in done.output


def test_a_table_is_of_the_space_that_is_named(tmp_path):
    other = replace(TINY, stem_width=24)
    path = filled_in(tmp_path / "times.csv", TINY, times_of(made_up()))
    with pytest.raises(TableError, match="blocks are missing|is no block"):
        import_table(path, "my-board", other, read_times=block_times.read_csv)
