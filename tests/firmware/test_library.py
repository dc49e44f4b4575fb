"""The folder of a library: what is in it, that it compiles, and when nothing is written."""

import json
import shutil
import subprocess
from pathlib import PurePath

import numpy as np
import pytest
from deploy_for_tests import tiny_record
from firmware_for_tests import (
    GRAY,
    needs_interpreter,
    on_host,
    random_library,
    random_pixels,
    record_of,
)
from PIL import Image

from labkit.firmware.host_build import HostLibrary, compiler, run_tool
from labkit.firmware.library import (
    GENERATED,
    RECORD,
    Sample,
    require_folder,
    write_files,
    write_library,
)
from labkit.formats.classification import classify
from labkit.space import Arch
from labkit.storage.errors import ExportError, LabError


@pytest.fixture(scope="module")
def written():
    (arch,) = GRAY.decode(GRAY.sample(np.random.default_rng(1), 1))
    library, _ = random_library(GRAY, arch)
    pixels = random_pixels(arch.resolution, 1, 1)
    logits = on_host(library, library.quantized(pixels))[0]
    return library, Sample(pixels=pixels[0], label=2, logits=logits)


@needs_interpreter
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_example_builds_and_sees_its_sample(tmp_path, written):
    library, sample = written
    write_files(tmp_path, library.files("plain", sample, record_of(library)))
    flags = "CFLAGS=-O1 -Wall -Wextra -Werror -pedantic"
    done = subprocess.run(
        ["make", "-s", f"CC={compiler()}", flags], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [int(line.split()[0]) for line in lines[:6]] == sample.logits.tolist()
    assert lines[6] == f"class: class {sample.logits.argmax()}, of the image: class 2"


@needs_interpreter
def test_the_example_fails_on_other_logits(tmp_path, written):
    library, sample = written
    other = Sample(pixels=sample.pixels, label=2, logits=sample.logits ^ 1)
    write_files(tmp_path, library.files("plain", other, record_of(library)))
    sources = ("main.c", "net.c", "net_kernels.c")
    run_tool([compiler(), "-std=c11", *sources, "-o", "example"], 60, tmp_path)
    done = subprocess.run([tmp_path / "example"], capture_output=True, text=True)
    assert done.returncode == 1 and "6 logits are not" in done.stdout


@needs_interpreter
def test_a_library_of_other_sizes_than_its_record_says_is_not_called(tmp_path, written):
    library, _ = written
    write_files(tmp_path, library.sources())
    values = int(np.prod(library.input_shape))
    for sizes in ({"in_values": 4 * values, "classes": 6}, {"in_values": values, "classes": 5}):
        with pytest.raises(ExportError, match="net.h has other sizes than its record"):
            HostLibrary(tmp_path, tmp_path, **sizes)


@needs_interpreter
def test_a_folder_that_does_not_compile_is_named(tmp_path, written):
    library, sample = written
    folder, picture = tmp_path / "cut", tmp_path / "image.png"
    write_library(folder, library.files("plain", sample, record_of(library)))
    Image.fromarray(sample.pixels[..., 0]).save(picture)
    (result,) = classify(folder, [picture])
    assert result.name == f"class {sample.logits.argmax()}"
    source = (folder / "net.c").read_text()
    (folder / "net.c").write_text(source[: len(source) // 2])
    with pytest.raises(LabError, match="(?s)cut cannot be run .*failed.*; deploy the subnet again"):
        classify(folder, [picture])


@needs_interpreter
def test_nothing_of_a_c_library_is_called(tmp_path, written):
    """The objects need no symbol that they do not define."""
    library, sample = written
    write_files(tmp_path, library.sources())
    objects = ("-ffreestanding", "-fno-tree-loop-distribute-patterns", "-fno-stack-protector")
    run_tool(
        [compiler(), "-std=c11", "-O2", *objects, "-nostdlib", "-r", "net.c", "net_kernels.c"],
        60,
        tmp_path,
    )
    symbols = run_tool(["nm", "-u", "a.out"], 60, tmp_path)
    assert [line for line in symbols.split() if line not in ("U", "_GLOBAL_OFFSET_TABLE_")] == []


@needs_interpreter
def test_the_header_is_c_plus_plus_too(tmp_path, written):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    library, sample = written
    write_files(tmp_path, library.files("arduino", sample, record_of(library)))
    (tmp_path / "main.cpp").write_text('#include "src/net.h"\nint main() { return !net_input(); }')
    run_tool(["g++", "-Wall", "-Werror", "-c", "main.cpp"], 60, tmp_path)


@needs_interpreter
def test_an_arduino_library_has_its_layout(written):
    library, sample = written
    files = library.files("arduino", sample, record_of(library))
    assert {"library.properties", "src/net.h", "src/net.c", "src/net_kernels.c"} < set(files)
    assert {"examples/classify/classify.ino", "examples/classify/sample.h", RECORD} < set(files)
    assert "includes=net.h" in files["library.properties"]
    plain = library.files("plain", sample, record_of(library))
    assert {PurePath(path).name for path in (*files, *plain)} == GENERATED
    with pytest.raises(ValueError, match="'zephyr', known: plain, arduino"):
        library.files("zephyr", sample, record_of(library))


@needs_interpreter
def test_the_record_says_how_to_feed_it(written):
    library, sample = written
    record = json.loads(library.files("plain", sample, record_of(library))[RECORD])
    assert Arch.from_json(record["arch"]) == library.arch
    entry = record["input"]
    assert entry["shape"] == list(library.input_shape) and entry["layout"] == "HWC"
    assert entry["scale"] == library.network.input.scale
    assert len(record["output"]["classes"]) == 6 and record["accuracy"]["percent"] == 80
    assert record["arena_bytes"] == library.plan.arena_bytes


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(LabError, match="thesis.tex"):
        write_library(tmp_path, {})
    (tmp_path / RECORD).write_text('{"schema": "somebody else\'s"}')
    with pytest.raises(LabError, match="not firmware of labkit"):
        write_library(tmp_path, {})
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    with pytest.raises(LabError, match="is a file"):
        require_folder(tmp_path / "thesis.tex")


def test_a_library_to_which_files_were_added_is_not_replaced(tmp_path):
    record = tiny_record(layout="HWC").to_text()
    files = {RECORD: record, "src/net.c": "1", "examples/classify/classify.ino": "2"}
    write_library(tmp_path / "lib", files)
    for name in ("net.o", "libnet.a", "example"):  # what make leaves
        (tmp_path / "lib" / name).write_text("built")
    write_library(tmp_path / "lib", files)
    for name in ("my_board.c", "src/my_board.c", "examples/mine/mine.ino"):
        path = tmp_path / "lib" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("years of work")
        with pytest.raises(LabError, match=rf"not firmware of labkit \({name}\)"):
            write_library(tmp_path / "lib", files)
        assert path.read_text() == "years of work"
        path.unlink()


def test_a_library_replaces_an_older_one_whole_or_not_at_all(tmp_path):
    folder, record = tmp_path / "deep" / "firmware", tiny_record(layout="HWC").to_text()
    write_library(folder, {RECORD: record, "main.c": "1"})
    with pytest.raises(FileExistsError):  # a file where a folder is wanted, after the first file
        write_library(folder, {RECORD: record, "src": "", "src/new.c": "2"})
    assert sorted(path.name for path in folder.iterdir()) == ["main.c", RECORD]
    write_library(folder, {RECORD: record, "src/new.c": "2"})
    assert sorted(path.name for path in folder.iterdir()) == [RECORD, "src"]
    assert [path.name for path in folder.parent.iterdir()] == ["firmware"]
