"""Tables in the form of OFA's authors: read in both dialects, imported whole or refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
from latency_for_tests import own_cache  # noqa: F401  (a fixture)
from ofa_files_for_tests import random_times, table_text
from spaces_for_tests import ONE_WIDTH

from labkit.comparison.published_subnets import published_subnets
from labkit.comparison.timed_networks import public_file
from labkit.latency.devices import DeviceError, device_names, get_device
from labkit.latency.kit.board_import import import_table
from labkit.latency.measured.blocks import timed_blocks
from labkit.latency.measured.untrusted_json import TableError
from labkit.official import latency_tables
from labkit.official.latency_tables import DIALECTS, layer_names, read_ofa
from labkit.space import get_space

CHANNELS, RATIOS = DIALECTS
SIDES = ONE_WIDTH.resolutions


@pytest.fixture
def table(tmp_path):
    """Write a table of ONE_WIDTH, changed by a function of its text; return its path."""

    def write(change=lambda text: text, dialect=CHANNELS, sides=SIDES, name="table.yaml"):
        text = table_text(random_times(ONE_WIDTH, dialect, sides))
        path = tmp_path / name
        path.write_text(change(text))
        return path

    return write


def imported(path, space=ONE_WIDTH):
    return import_table(path, "phone", space, read_times=read_ofa, board="a phone").table


def test_layers_go_by_the_names_of_the_published_tables():
    """Written out by hand from the tables and the space's definition in the paper."""
    blocks = timed_blocks(get_space("ofa-mbv3-w1.2"))
    pairs = {
        "stem-224px": (
            [
                "Conv-input:224x224x3-output:112x112x24",
                "expanded_conv-input:112x112x24-output:112x112x24-expand:24-kernel:3-stride:1"
                "-idskip:1-se:0-hs:0",
            ],
            [
                "first_conv-input:224x224x3-output:112x112x24",
                "MBConv-input:112x112x24-output:112x112x24-expand:1-kernel:3-stride:1-idskip:1"
                "-se:0",
            ],
        ),
        "head-7px": (
            [
                "Conv_1-input:7x7x192-output:7x7x1152",
                "AvgPool2D-input:7x7x1152-output:1x1x1152",
                "Conv_2-input:1x1x1152-output:1x1x1536",
                "Logits-input:1x1x1536-output:1000",
            ],
            [
                "final_expand_layer-input:7x7x192-output:7x7x1152",
                "feature_mix_layer-input:1x1x1152-output:1x1x1536",
                "classifier-input:1536-output:1000",
            ],
        ),
        "block-136to192-s2-14px-k5-e6-h_swish-se": (
            [
                "expanded_conv-input:14x14x136-output:7x7x192-expand:816-kernel:5-stride:2"
                "-idskip:0-se:1-hs:1"
            ],
            ["MBConv-input:14x14x136-output:7x7x192-expand:6-kernel:5-stride:2-idskip:0-se:1"],
        ),
    }
    for key, expected in pairs.items():
        for dialect, names in zip(DIALECTS, expected):
            assert layer_names(get_space("ofa-mbv3-w1.2"), blocks[key], dialect) == names


@pytest.mark.parametrize("dialect", DIALECTS, ids=["channels", "ratios"])
def test_a_subnet_takes_the_sum_of_its_layers(table, dialect):
    times = random_times(ONE_WIDTH, dialect, SIDES)
    latency = imported(table(dialect=dialect))
    assert latency.space == ONE_WIDTH
    for arch in ONE_WIDTH.decode(ONE_WIDTH.sample(np.random.default_rng(0), 20)):
        part = timed_blocks(replace(ONE_WIDTH, resolutions=(arch.resolution,)))
        blocks = [block for block in part.values() if block.kind != "block"]
        for s, choices in enumerate(arch.stages):
            for i, (kernel, expand) in enumerate(choices):
                (block,) = {
                    block.key: block
                    for block in part.values()
                    if block.kind == "block"
                    and (block.kernel, block.expand) == (kernel, expand)
                    and block.shape.out_channels == ONE_WIDTH.stages[s].width
                    and (block.shape.in_channels != block.shape.out_channels) == (i == 0)
                }.values()
                blocks.append(block)
        total = sum(times[name] for b in blocks for name in layer_names(ONE_WIDTH, b, dialect))
        assert latency(ONE_WIDTH.encode([arch]))[0] == pytest.approx(total)


def test_a_table_may_be_for_some_resolutions(table, tmp_path):
    latency = imported(table(sides=(20, 28)))
    part = replace(ONE_WIDTH, resolutions=(20, 28))
    assert latency.space == part
    device = get_device("phone")
    genes = part.sample(np.random.default_rng(0), 10)
    np.testing.assert_array_equal(device.latency_table(part)(genes), latency(genes))
    one = replace(ONE_WIDTH, resolutions=(28,))  # less than was measured will do, more will not
    genes = one.sample(np.random.default_rng(0), 10)
    np.testing.assert_array_equal(
        device.latency_table(one)(genes), latency(part.encode(one.decode(genes)))
    )
    for other in (ONE_WIDTH, replace(ONE_WIDTH, resolutions=(24,))):
        with pytest.raises(DeviceError, match="no latency table for space 'one-width'"):
            device.latency_table(other)
    with pytest.raises(DeviceError, match="only for one-width at 20, 28 px"):
        device.latency_table(ONE_WIDTH)


def test_layers_in_several_files_take_the_mean_of_their_times(tmp_path):
    for side, factor in ((20, 1), (24, 3), (28, 5)):
        times = random_times(ONE_WIDTH, CHANNELS, (side,))
        text = table_text({name: factor * ms for name, ms in times.items()})
        (tmp_path / f"{side}.yaml").write_text(text)
    # The maps of 20 and 24 px end in 3 x 3, and all three files have the classifier.
    layers = layer_names(ONE_WIDTH, timed_blocks(ONE_WIDTH)["head-3px"], CHANNELS)
    times = random_times(ONE_WIDTH, CHANNELS, SIDES)
    expected = sum(times[name] * (3 if "Logits" in name else 2) for name in layers)
    assert read_ofa(tmp_path, ONE_WIDTH)["head-3px"] == pytest.approx(expected)


LAYER = "expanded_conv-input:14x14x16-output:7x7x32-expand:48-kernel:5-stride:2"


def without(text: str, layer: str) -> str:
    start = text.index(layer)
    return text[:start] + text[text.index("\n", text.index("std", start)) + 1 :]


def with_mean(value: str):
    """A change that gives the first layer, whose mean is in line 3, another one."""
    return lambda text: re.sub("mean: .*", f"mean: {value}", text, count=1)


BAD = {
    "a missing block": (
        lambda t: without(t, LAYER),
        f"1 of .* blocks are not complete; .*: {LAYER}",
    ),
    "a missing layer of a head": (lambda t: without(t, "Conv_1-input:4x4"), "Conv_1-input:4x4x64"),
    "another kind": (lambda t: t.replace("expanded_conv", "block"), "has no block of space"),
    "NaN": (with_mean("nan"), "line 3: .*want milliseconds, got 'nan'"),
    "infinite": (with_mean("inf"), "line 3: .*want milliseconds, got 'inf'"),
    "a string for a number": (with_mean("fast"), "line 3: .*want milliseconds, got 'fast'"),
    "a number in quotes": (with_mean("'0.5'"), "line 3: .*want milliseconds, got \"'0.5'\""),
    "no value": (with_mean(""), "line 3 is 'mean:'"),
    "negative": (with_mean("-0.5"), "line 3: .*want milliseconds, got '-0.5'"),
    "other units": (with_mean("7000000.0"), "want milliseconds between"),
    "a key twice": (lambda t: t + t[: t.index("std")] + "std: 1\n", "occurs twice"),
    "two means": (lambda t: t.replace("std:", "mean:", 1), "a second mean"),
    "no mean": (lambda t: t.replace("mean:", "average:", 1), "has no field 'mean'"),
    "another form": (lambda t: "{a: [1, 2]}", "line 1 is '{a: "),
    "binary": (lambda t: "\0\1\2", "line 1"),
    "no plain number": (with_mean("1_000"), "line 3: .*want milliseconds, got '1_000'"),
    "empty": (lambda t: "", "has no layer"),
}


@pytest.mark.parametrize("change, message", BAD.values(), ids=BAD)
def test_what_is_wrong_is_named_and_nothing_is_imported(table, change, message):
    path = table(change)
    with pytest.raises(TableError, match=message) as raised:
        imported(path)
    assert str(path) in str(raised.value) and "phone" not in device_names()


def test_a_refused_table_leaves_the_device_as_it_was(table):
    before = imported(table())
    faster = table(lambda text: without(re.sub(r"mean: 0\.", "mean: 0.0", text), LAYER))
    with pytest.raises(TableError, match="1 of .* blocks are not complete"):
        imported(faster)
    genes = ONE_WIDTH.sample(np.random.default_rng(0), 10)
    after = get_device("phone").latency_table(ONE_WIDTH)
    np.testing.assert_array_equal(after(genes), before(genes))


def test_a_table_of_another_width_is_refused(table):
    path = table()
    with pytest.raises(TableError, match="has no block of space .*Is it of another width"):
        imported(path, twice_as_wide(ONE_WIDTH))
    assert "phone" not in device_names()


def twice_as_wide(space):
    stages = [replace(stage, width=2 * stage.width) for stage in space.stages]
    widths = {
        name: getattr(space, name) and 2 * getattr(space, name)
        for name in ("stem_width", "first_width", "final_width", "feature_width")
    }
    return replace(space, stages=tuple(stages), **widths)


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.yaml"
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(TableError, match="1073741824 bytes"):
        imported(path)
    folder = tmp_path / "many"
    folder.mkdir()
    monkeypatch.setattr(latency_tables, "FILE_BYTES", 1000)
    for i in range(3):
        (folder / f"{i}.yaml").write_bytes(b"\n" * 400)
    with pytest.raises(TableError, match="1200 bytes, at most 1000 are read together"):
        imported(folder)


def test_the_published_tables_are_complete():
    note10, i7 = (public_file(name) for name in ("ofa/note10", "latency/i7-8700K_lut.yaml"))
    if note10 is None:
        pytest.skip("the public data is not at hand (LABKIT_SHARED)")
    wide, narrow = get_space("ofa-mbv3-w1.2"), get_space("ofa-mbv3")
    latency = imported(note10, wide)
    assert latency.space == replace(wide, resolutions=(160, 176, 192, 208, 224))
    (subnet,) = [s for s in published_subnets() if (s.device, s.latency_ms) == ("note10", 30)]
    assert latency(latency.space.encode([subnet.arch]))[0] == pytest.approx(29.97, abs=0.03)
    for space in (wide, narrow):
        assert imported(i7, space).space == space
    with pytest.raises(TableError, match="first layer would be 'Conv-input:128x128x3-output:64x64"):
        imported(note10, narrow)


def test_comments_a_start_of_document_and_a_byte_order_mark_are_not_layers(tmp_path):
    times = random_times(ONE_WIDTH, CHANNELS, SIDES)
    plain, decorated = tmp_path / "plain.yaml", tmp_path / "decorated.yaml"
    plain.write_text(table_text(times), encoding="utf-8")
    text = f"---\n# of a phone\n{table_text(times)}"
    decorated.write_text(text, encoding="utf-8-sig")
    assert read_ofa(decorated, ONE_WIDTH) == read_ofa(plain, ONE_WIDTH)


def test_a_folder_needs_tables_and_has_each_once(tmp_path):
    with pytest.raises(TableError, match="is a folder without .yaml files"):
        read_ofa(tmp_path, ONE_WIDTH)
    times = random_times(ONE_WIDTH, CHANNELS, SIDES)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(table_text(times))
    with pytest.raises(TableError, match="b.yaml has the same layers as .*a.yaml"):
        read_ofa(tmp_path, ONE_WIDTH)
