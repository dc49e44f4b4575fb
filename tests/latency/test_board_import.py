"""What becomes of a board's latency file: imported whole, or refused by name."""

from __future__ import annotations

import copy
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from latency_for_tests import TINY, made_up, own_cache, save  # noqa: F401  (a fixture)

from labkit.latency.devices import DeviceError, device_names, get_device
from labkit.latency.kit import board_import
from labkit.latency.kit.import_report import facts, nearest_device, warnings
from labkit.latency.measured import lookup_table as lut
from labkit.latency.measured import table_files
from labkit.latency.measured.blocks import timed_blocks
from labkit.latency.measured.latency_file import whole_subnets
from labkit.latency.measured.untrusted_json import TableError, climbs_out, parse
from labkit.space import Arch
from labkit.space.binding import file_stem
from labkit.space.definition import definition
from labkit.space.presets import FMNIST, get_space, spaces
from labkit.storage.paths import data_dir


def test_an_imported_board_is_a_device_like_any_other(tmp_path):
    table = board_import.import_table(save(made_up(), tmp_path / "latency.json"), "my-board")
    device = get_device("my-board")
    assert "my-board" in device_names() and device.kind == device.label == "measured"
    assert device.title == "made up (onnxruntime 1.0, 2 threads, batch 1)"
    genes = TINY.sample(np.random.default_rng(0), 9)
    np.testing.assert_array_equal(device.latency_table(TINY)(genes), table.table(genes))
    with pytest.raises(DeviceError, match="no latency table for space 'fmnist', only for tiny"):
        device.latency_table(FMNIST)


def test_swapped_tables_of_two_boards_are_refused(tmp_path):
    for name, factor in (("slow-board", 7.0), ("fast-board", 0.7)):
        board_import.import_table(save(made_up(factor=factor), tmp_path / "latency.json"), name)
    slow, fast = (get_device(name).latency_file(TINY) for name in ("slow-board", "fast-board"))
    slow.rename(tmp_path / "slow.json")
    fast.rename(slow)
    (tmp_path / "slow.json").rename(fast)
    for name, other in (("slow-board", "fast-board"), ("fast-board", "slow-board")):
        for table in (get_device(name).latency_table, get_device(name).latency_regression):
            with pytest.raises(TableError, match=f"{name}.*is the table of device '{other}'"):
                table(TINY)
    # Imported under another name, it is that device's.
    board_import.import_table(slow, "third-board")
    assert get_device("third-board").latency_table(TINY).space == TINY


def test_a_board_can_have_tables_for_several_spaces(tmp_path):
    board_import.import_table(save(made_up(), tmp_path / "a.json"), "my-board")
    board_import.import_table(save(made_up(FMNIST), tmp_path / "b.json"), "my-board")
    device = get_device("my-board")
    assert device.latency_table(TINY).space == TINY and device.latency_table(FMNIST).space == FMNIST


def test_a_board_is_measured_for_a_space_that_does_not_ship(tmp_path):
    """Of the name of another space, but not of its content: both have their table."""
    mine = replace(TINY, stem_width=24)
    path = save(made_up(mine), tmp_path / "mine.json")
    with pytest.raises(TableError, match="was made for space 'tiny' .*, not for space 'tiny'"):
        board_import.import_table(path, "my-board")
    board_import.import_table(path, "my-board", mine)
    board_import.import_table(save(made_up(), tmp_path / "tiny.json"), "my-board")
    device = get_device("my-board")
    assert set(device.files) == {file_stem(mine), file_stem(TINY)}
    assert device.latency_table(mine).space == mine and device.latency_table(TINY).space == TINY


FIRST = next(iter(timed_blocks(TINY)))


def faster_than_nothing(value: dict) -> None:
    """Subnets that only a large negative intercept explains, and none of them the smallest."""
    del value["subnets"][:2]
    genes = TINY.encode([Arch.from_json(subnet["arch"]) for subnet in value["subnets"]])
    raw = lut.build_table(value, TINY).uncalibrated
    smallest = float(raw(TINY.encode([TINY.smallest()]))[0])
    for subnet, ms in zip(list(value["subnets"]), 0.01 + raw(genes) - 1.2 * smallest):
        (
            subnet.update(median_ms=ms, low_ms=ms, high_ms=ms)
            if ms > 0.01
            else value["subnets"].remove(subnet)
        )


def scaled(rows, factor: float) -> None:
    for timing in rows:
        timing.update(
            {field: factor * timing[field] for field in ("median_ms", "low_ms", "high_ms")}
        )


def turned_round(value: dict) -> None:
    """The fastest subnet has the slowest one's time, and so on."""
    order = sorted(value["subnets"], key=lambda subnet: subnet["median_ms"])
    times = [
        {field: subnet[field] for field in ("median_ms", "low_ms", "high_ms")} for subnet in order
    ]
    for subnet, timing in zip(order, times[::-1]):
        subnet.update(timing)


BAD = {
    "as the anchor, which is the same model": lambda v: scaled(
        [*v["pieces"].values(), *v["subnets"]], 1000
    ),
    "whole subnets take 700 ms longer": lambda v: scaled(v["subnets"], 1000),
    "whole subnets take -.* ms longer": lambda v: turned_round(v),
    "field 'anchor_ms' is empty": lambda v: v.update(anchor_ms=[]),
    "blocks are missing": lambda v: v["pieces"].pop(FIRST),
    "blocks are not of space 'tiny'": lambda v: v["pieces"].update({"block-9": v["pieces"][FIRST]}),
    "median_ms is -1": lambda v: v["pieces"][FIRST].update(median_ms=-1),
    "median_ms is 0": lambda v: v["pieces"][FIRST].update(median_ms=0),
    "median_ms is 1000000000.0": lambda v: v["pieces"][FIRST].update(median_ms=1e9),
    "NaN is not a finite number": lambda v: v["pieces"][FIRST].update(median_ms=float("nan")),
    "Infinity is not a finite number": lambda v: v["subnets"][2].update(high_ms=float("inf")),
    "median_ms is 1e-06": (
        lambda v: v["pieces"][FIRST].update(median_ms=1e-6, low_ms=1e-6, high_ms=1e-6)
    ),
    "alone took 5000 ms, no whole subnet more than": (
        lambda v: v["pieces"][FIRST].update(median_ms=5000.0, low_ms=5000.0, high_ms=5000.0)
    ),
    "was made for space 'fmnist' .*, not for space 'fmnist'": lambda v: v.update(space="fmnist"),
    "blocks are missing, such as": lambda v: v.update(
        pieces=made_up(FMNIST)["pieces"]
    ),  # another space's blocks
    "made.'cpu' is no number and no short printable text": (
        lambda v: v["made"].update(cpu="\x1b[2J")
    ),
    "made.'governor' is no": lambda v: v["made"].update(governor="x" * 1000),
    "made.'load' is no": lambda v: v["made"].update(load=[1, 2]),
    "predicts -.* ms for a whole subnet": lambda v: faster_than_nothing(v),
    "median_ms is '1'": lambda v: v["pieces"][FIRST].update(median_ms="1"),
    "median_ms is True": lambda v: v["pieces"][FIRST].update(median_ms=True),
    "low_ms is None": lambda v: v["pieces"][FIRST].update(low_ms=None),
    "is not inside its interval": (
        lambda v: v["pieces"][FIRST].update(low_ms=v["pieces"][FIRST]["median_ms"] * 1.005)
    ),
    "spread -1": lambda v: v["pieces"][FIRST].update(spread=-1),
    "exactly the fields": lambda v: v["pieces"][FIRST].pop("repeats"),
    r"was made for space 'tiny' \(0{12}\), not for space 'tiny'": lambda v: v.update(
        space_sha256="0" * 64
    ),
    "unknown space 'mars'": lambda v: v.update(space="mars"),
    "schema 7": lambda v: v.update(schema=7),
    "another kind of file": lambda v: v.update(what="accuracy"),
    "another kind of file, not the latency.json that a kit writes": lambda v: [
        v.pop("what"),
        v.pop("schema"),
    ],
    "field 'anchor_ms' is missing": lambda v: v.pop("anchor_ms"),
    "made.runtime": lambda v: v["made"].pop("runtime"),
    r"subnets\[0\]: resolution 99": lambda v: v["subnets"][0]["arch"].update(resolution=99),
    r"subnets\[1\]: median_ms is -3": lambda v: v["subnets"][1].update(median_ms=-3),
    "throttles": lambda v: v.update(anchor_ms=[0.1, 0.1, 0.15]),
    "measured while the board changed speed": lambda v: v.update(drifted=[FIRST]),
    "this is what an unfinished run has kept": lambda v: v.update(rounds={}),
    "holds 7 whole subnets, .* at least 8; measure more of them": lambda v: v.update(
        subnets=v["subnets"][:7]
    ),
    "of 20 whole subnets 1 are distinct, .* at least 6; measure more": lambda v: v.update(
        subnets=v["subnets"][:1] * 20
    ),
    "of 8 whole subnets 2 are distinct": lambda v: v.update(subnets=v["subnets"][:2] * 4),
    "contradict each other": lambda v: [
        s.update(median_ms=m, low_ms=m, high_ms=m)
        for s, m in zip(v["subnets"], np.geomspace(0.001, 1000, 20).tolist()[::-1])
    ],
}


BLOCKS = [key for key in timed_blocks(FMNIST) if key.startswith("block")]


def measured() -> dict:
    """A real file: the table that ships, measured on a server."""
    return json.loads((data_dir() / "latency" / "epyc-1core" / "fmnist.json").read_text())


def rotate(value: dict, keys: list[str]) -> None:
    times = [value["pieces"][key] for key in keys]
    value["pieces"].update(zip(keys, times[1:] + times[:1]))


def all_times(value: dict, factor: float) -> None:
    scaled([*value["pieces"].values(), *value["subnets"]], factor)
    value["anchor_ms"] = [factor * ms for ms in value["anchor_ms"]]


FAULTS = {
    "microseconds": lambda v: all_times(v, 1000),
    "seconds": lambda v: all_times(v, 1 / 1000),
    "ten times": lambda v: all_times(v, 10),
    "blocks in microseconds": lambda v: scaled(v["pieces"].values(), 1000),
    "subnets in microseconds": lambda v: scaled(v["subnets"], 1000),
    "rotated keys": lambda v: rotate(v, list(v["pieces"])),
    "rotated keys of blocks": lambda v: rotate(v, BLOCKS),
    "doubled blocks": lambda v: scaled(v["pieces"].values(), 2),
    "every second block doubled": lambda v: scaled([v["pieces"][k] for k in BLOCKS[::2]], 2),
    "half of the blocks doubled": lambda v: scaled(
        [v["pieces"][k] for k in BLOCKS[: len(BLOCKS) // 2]], 2
    ),
    "one kernel size doubled": lambda v: scaled([v["pieces"][k] for k in BLOCKS if "-k5-" in k], 2),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_real_table_with_a_fault_is_refused(tmp_path, fault):
    value = measured()
    FAULTS[fault](value)
    with pytest.raises(TableError, match="milliseconds|contradict each other"):
        board_import.import_table(save(value, tmp_path / "latency.json"), "my-board")
    assert "my-board" not in device_names()


def test_the_error_that_is_shown_is_of_subnets_that_were_left_out(tmp_path):
    """Against twenty fits, each without the subnet that it predicts."""
    table = board_import.import_table(save(measured(), tmp_path / "latency.json"), "my-board")
    genes, measured_ms = whole_subnets(measured(), FMNIST)
    for i in range(len(genes)):
        others = np.arange(len(genes)) != i
        fit = lut.calibrate(table.uncalibrated, genes[others], measured_ms[others])
        predicted = table.uncalibrated.scaled(fit.factor, fit.intercept_ms, fit.per_block_ms)
        error = abs(float(predicted(genes[[i]])[0]) / measured_ms[i] - 1)
        assert table.errors[i] == pytest.approx(error, rel=1e-6)
    assert f"off by {100 * table.errors.mean():.1f} %" in facts(table, nearest_device(table))[0]
    assert warnings(table, nearest_device(table)) == []


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda v: v["made"].update(mode="quick"), "it is a quick table"),
        (
            lambda v: v["made"].update(
                core_speed_ratio=2.5, cores_used="0,4", core_speeds="0,1,2,3 at 400; 4,5 at 1000"
            ),
            "on slow and on fast cores .0,4 of 0,1,2,3 at 400; 4,5 at 1000.",
        ),
        (lambda v: [v["made"].pop("seconds"), all_times(v, 50_000)], "are all times milliseconds"),
        (lambda v: [v["made"].pop("seconds"), all_times(v, 1000)], "'note10-class'.* microseconds"),
        (
            lambda v: [
                scaled(v["pieces"].values(), 2),
                v.update(anchor_ms=[2 * ms for ms in v["anchor_ms"]]),
            ],
            "whole subnets take 0.51 ms longer",
        ),
    ],
)
def test_what_is_doubtful_is_imported_with_a_warning(tmp_path, change, message):
    value = measured()
    change(value)
    table = board_import.import_table(save(value, tmp_path / "latency.json"), "my-board")
    (line,) = warnings(table, nearest_device(table))
    assert re.search(message, line)
    quick = "quick" in message
    assert get_device("my-board").label.startswith("measured, quick" if quick else "measured")
    assert ("quick" in get_device("my-board").label) == quick


def test_a_table_is_compared_with_devices_that_can_hold_a_subnet():
    """In microseconds a phone's table of a large space looks like a small microcontroller's."""
    table = get_device("note10-class").latency_table(get_space("ofa-mbv3-w1.2"))
    nearest = nearest_device(SimpleNamespace(table=table.scaled(1000.0)))
    assert not nearest.is_plausible and get_device(nearest.name).flash_bytes is None
    assert nearest_device(SimpleNamespace(table=table)).name == "note10-class"


def test_imported_tables_are_removed(tmp_path):
    for space in (TINY, FMNIST):
        board_import.import_table(save(made_up(space), tmp_path / "a.json"), "my-board")
    board_import.remove_tables("my-board", TINY)
    assert list(get_device("my-board").files) == [file_stem(FMNIST)]
    with pytest.raises(ValueError, match="no table of 'my-board' for space 'tiny'"):
        board_import.remove_tables("my-board", TINY)
    board_import.remove_tables("my-board")
    assert "my-board" not in device_names()
    for name in ("my-board", "epyc-1core", "pi4", "../latency", ".", ""):
        with pytest.raises(ValueError, match="was imported here"):
            board_import.remove_tables(name)
    assert "epyc-1core" in device_names()


@pytest.mark.parametrize("message", BAD)
def test_bad_files_are_named_and_nothing_is_imported(tmp_path, message):
    value = made_up()
    BAD[message](value)
    path = save(value, tmp_path / "latency.json")
    with pytest.raises(TableError, match=message) as error:
        board_import.import_table(path, "my-board")
    assert str(path) in str(error.value)
    assert "my-board" not in device_names() and not (tmp_path / "cache").exists()


def test_subnets_of_one_depth_do_not_tell_blocks_from_the_intercept(tmp_path):
    """Twelve distinct subnets of two blocks each; among them and one of four blocks it would be a
    matter of noise.
    """
    value = made_up(subnets=200)
    two = {
        json.dumps(s["arch"]): s
        for s in value["subnets"]
        if sum(map(len, s["arch"]["stages"])) == 2
    }
    value["subnets"] = list(two.values())[:12]
    assert len(value["subnets"]) == 12
    with pytest.raises(TableError, match="too much alike to calibrate a table on .*lut pack"):
        board_import.import_table(save(value, tmp_path / "latency.json"), "my-board")
    assert "my-board" not in device_names()


def test_no_block_takes_less_than_no_time(tmp_path):
    """0.7 of a block's 0.01 ms or more, less 0.02; the intercept keeps whole subnets above 0."""
    value = made_up(intercept=0.1, per_block=-0.02)
    with pytest.raises(
        TableError, match="predicts -.* ms for a block, so that a deeper subnet would be quicker"
    ):
        board_import.import_table(save(value, tmp_path / "latency.json"), "my-board")
    assert lut.build_table(value, TINY).table(TINY.encode(list(TINY.enumerate()))).min() > 0


def test_of_a_table_of_some_resolutions_an_import_for_the_whole_space_says_what_it_is(tmp_path):
    part = replace(FMNIST, resolutions=(20, 28))
    value = {**made_up(part), "space_definition": definition(part)}  # as an export has it
    path = save(value, tmp_path / "latency.json")
    with pytest.raises(TableError, match="space 'fmnist' at 20, 28 px alone; import it without"):
        board_import.import_table(path, "my-board", FMNIST)
    board_import.import_table(path, "my-board")
    assert get_device("my-board").known_part(FMNIST) == part


def test_where_no_subnet_is_deeper_no_block_needs_a_time_of_its_own(tmp_path, monkeypatch):
    """The time of each block, of stem and of head includes a call, which a subnet has only once."""
    space = replace(
        FMNIST, name="flat", stages=tuple(replace(s, depths=(1,)) for s in FMNIST.stages)
    )
    monkeypatch.setitem(spaces, "flat", space)
    call, own = 0.05, iter(np.random.default_rng(0).uniform(0.001, 0.01, 100_000))
    value = made_up(
        space, factor=1, intercept=-call, per_block=-call, block_ms=lambda name: call + next(own)
    )
    assert np.nanmin(lut.build_table(value, space).table.blocks) < 0
    board_import.import_table(save(value, tmp_path / "latency.json"), "my-board")
    assert "my-board" in device_names()


def test_no_whole_subnet_takes_less_than_no_time(tmp_path):
    """The smallest and the largest subnet take some; one of many small blocks would not."""
    value = made_up(FMNIST, factor=0.7, intercept=0.1, per_block=-0.03)
    with pytest.raises(TableError, match="predicts -.* ms for a whole subnet, 2.px"):
        board_import.import_table(save(value, tmp_path / "latency.json"), "my-board")
    genes = FMNIST.encode([FMNIST.smallest(), FMNIST.largest()])
    assert lut.build_table(value, FMNIST).table(genes).min() > 0


def test_a_mark_at_the_beginning_and_what_a_killed_write_leaves_do_no_harm(tmp_path):
    path = save(made_up(), tmp_path / "latency.json")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as some editors save it
    board_import.import_table(path, "my-board")
    table = table_files.table_path("my-board", TINY)
    table.with_name(f".{table.name}.x1.json").write_text("{")
    assert list(get_device("my-board").files) == [file_stem(TINY)]


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"a": 1, "a": 2}', "key 'a' occurs twice"),
        ('{"a": NaN}', "NaN is not a finite number"),
        ('{"a": -Infinity}', "-Infinity is not a finite number"),
        ("[1]", "is a JSON object, got list"),
        ("", "not valid JSON"),
        ('{"a": 1', "perhaps truncated"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_bad_json_is_named(text, message):
    with pytest.raises(TableError, match=message):
        parse(text.encode(), Path("latency.json"))


def test_duplicate_piece_is_refused(tmp_path):
    text = json.dumps(made_up())
    start = text.index(f'"{FIRST}"')
    end = text.index("}", start) + 1
    path = tmp_path / "latency.json"
    path.write_text(text[:end] + ", " + text[start:end] + text[end:])
    with pytest.raises(TableError, match="occurs twice"):
        board_import.import_table(path, "my-board")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_truncation_or_flipped_byte_ends_in_another_error(tmp_path, data):
    """Whatever arrives, it is imported whole or refused with our error."""
    content = json.dumps(made_up(subnets=8)).encode()
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        at = data.draw(st.integers(0, len(content) - 1))
        content = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    path = tmp_path / "latency.json"
    path.write_bytes(content)
    try:
        table = board_import.import_table(path, "fuzzed")
    except TableError:
        return
    assert np.isfinite(table.table.base).all()


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_value_in_any_place_is_refused_or_sound(tmp_path, data):
    """Replace one value anywhere in the file by any JSON value."""
    value = made_up(subnets=8)
    place, steps = value, []
    while isinstance(place, (dict, list)) and place and (not steps or data.draw(st.booleans())):
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        steps.append((place, key))
        place = place[key]
    holder, key = steps[-1]
    holder[key] = data.draw(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=5),
            st.lists(st.integers(), max_size=3),
            st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        )
    )
    path = save(value, tmp_path / "latency.json")
    try:
        table = board_import.import_table(path, "fuzzed")
    except TableError:
        return
    assert np.isfinite(table.table.base).all()


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "latency.json"
    with open(path, "wb") as file:
        file.truncate(10**9)  # sparse: takes no room
    with pytest.raises(TableError, match="1000000000 bytes, a latency file has at most"):
        board_import.import_table(path, "my-board")
    with pytest.raises(TableError, match="is not a file"):
        board_import.import_table(tmp_path, "my-board")
    if Path("/dev/zero").exists():  # never ends
        with pytest.raises(TableError, match="is not a file"):
            board_import.import_table(Path("/dev/zero"), "my-board")
    with pytest.raises(TableError, match="cannot be read"):
        board_import.import_table(tmp_path / "nowhere.json", "my-board")


def zip_of(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_a_zip_with_the_result_is_taken(tmp_path):
    path = zip_of(
        tmp_path / "back.zip", **{"folder/latency.json": json.dumps(made_up()), "run.py": ""}
    )
    board_import.import_table(path, "my-board")
    assert "my-board" in device_names()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_damaged_zip_ends_in_another_error(tmp_path, data):
    """Truncated, or some bytes changed: decompression fails in many ways."""
    whole = zip_of(
        tmp_path / "whole.zip", **{"latency.json": json.dumps({"a": "bcd" * 400}), "x": "y"}
    ).read_bytes()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.zip"
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    with pytest.raises(TableError, match="damaged.zip"):
        board_import.import_table(path, "my-board")


@pytest.mark.parametrize(
    "name",
    [
        "../latency.json",
        "/etc/latency.json",
        "a/../../b",
        "C:\\latency.json",
        "..\\latency.json",
        "\\\\server\\share\\x",
    ],
)
def test_a_zip_that_climbs_out_is_refused(tmp_path, name):
    assert climbs_out(name)
    path = zip_of(tmp_path / "evil.zip", **{name: "x", "latency.json": json.dumps(made_up())})
    with pytest.raises(TableError, match="climbs out"):
        board_import.import_table(path, "my-board")


def test_other_zips_are_refused(tmp_path):
    with pytest.raises(TableError, match="0 files called latency.json"):
        board_import.import_table(zip_of(tmp_path / "a.zip", **{"x": "y"}), "my-board")
    with pytest.raises(TableError, match="2 files called latency.json"):
        board_import.import_table(
            zip_of(tmp_path / "b.zip", **{"a/latency.json": "{}", "latency.json": "{}"}), "my-board"
        )
    bomb = zip_of(tmp_path / "c.zip", **{"latency.json": " " * 30_000_000})
    assert bomb.stat().st_size < 100_000
    with pytest.raises(TableError, match="30000000 bytes"):
        board_import.import_table(bomb, "my-board")
    assert not climbs_out("folder/latency.json") and not climbs_out("a..b/c")


@pytest.mark.parametrize("name", ["", "host", "pi4", "../x", "A", "a b", "x" * 41, "-x"])
def test_impossible_board_names(tmp_path, name):
    with pytest.raises(ValueError, match="device name"):
        board_import.import_table(save(made_up(), tmp_path / "latency.json"), name)


def test_a_second_import_replaces_the_first_only_when_it_is_sound(tmp_path):
    board_import.import_table(save(made_up(), tmp_path / "a.json"), "my-board")
    before = table_files.table_path("my-board", TINY).read_bytes()
    broken = copy.deepcopy(made_up())
    broken["pieces"].pop(FIRST)
    with pytest.raises(TableError):
        board_import.import_table(save(broken, tmp_path / "b.json"), "my-board")
    assert table_files.table_path("my-board", TINY).read_bytes() == before
