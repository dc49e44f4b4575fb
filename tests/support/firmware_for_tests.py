"""What tests of firmware share: which tools are there, libraries of random networks, images."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from int8_models_for_tests import int8_model

from labkit.data.record import ImageForm
from labkit.deploy.model_record import (
    IntegerScale,
    ModelAccuracy,
    ModelInput,
    ModelOutput,
    ModelRecord,
)
from labkit.firmware.host_build import HostLibrary
from labkit.firmware.layers import quantized_network
from labkit.firmware.library import Library
from labkit.firmware.plan import arena_plan
from labkit.space import Arch, SearchSpace, Stage, network
from labkit.space.operators import Operator

HAS_INTERPRETER = importlib.util.find_spec("tflite_micro") is not None
HAS_COMPILER = any(map(shutil.which, ("cc", "gcc", "clang")))
needs_interpreter = pytest.mark.skipif(
    not (HAS_INTERPRETER and HAS_COMPILER),
    reason="tflite-micro or a C compiler is not installed; run `make test-firmware`",
)
BOARD_TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
needs_board = pytest.mark.skipif(
    not all(map(shutil.which, BOARD_TOOLS)),
    reason=f"{' or '.join(BOARD_TOOLS)} is not installed; run `make test-firmware`",
)

# Odd and even sides, channels that are no multiple of 4 or 8, every kernel, stride and activation,
# a stem that sees one channel and one that sees three.
GRAY = SearchSpace(
    "gray",
    (12, 15),
    (
        Stage(8, 1, (1, 2), (3, 5), (1,), "relu6"),
        Stage(16, 2, (1, 2), (3, 5, 7), (2, 3), "h_swish", se=True),
    ),
    in_channels=1,
    num_classes=6,
    stem_width=8,
    stem_stride=1,
    final_width=24,
)


def library(operators: Sequence[Operator], model: bytes, arch: Arch) -> Library:
    """The library of a network; a pixel's value 0 to 255 becomes the integer -128 to 127."""
    channels, classes = operators[0].in_channels, operators[-1].out_channels
    return Library(
        title="a network of the tests",
        arch=arch,
        network=quantized_network(model, operators),
        plan=arena_plan(operators),
        classes=tuple(f"class {i}" for i in range(classes)),
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        pixels=np.tile(np.arange(-128, 128).astype(np.int8), (channels, 1)),
    )


def random_library(space: SearchSpace, arch: Arch, seed: int = 0) -> tuple[Library, bytes]:
    """The library of an arch with random weights, and its int8 model."""
    operators = network.operators(space, arch)
    model = int8_model(operators, seed)
    return library(operators, model, arch), model


def record_of(written: Library) -> ModelRecord:
    """How to feed a library of the tests, which was right for 80 % of 5 images."""
    entry, exit_ = written.network.input, written.network.output
    side, _, channels = written.input_shape
    return ModelRecord(
        space="gray",
        arch=written.arch,
        supernet=None,
        precision="int8",
        input=ModelInput(
            "HWC",
            written.input_shape,
            written.mean,
            written.std,
            ImageForm(channels, side),
            IntegerScale(float(entry.scale), entry.zero),
        ),
        output=ModelOutput(written.classes, IntegerScale(float(exit_.scale), exit_.zero)),
        accuracy=ModelAccuracy(80.0, 5, "noise", "test", "C library"),
    )


def random_pixels(side: int, channels: int, n: int, seed: int = 0) -> np.ndarray:
    """(n, side, side, channels) bytes: images of different brightness, with streaks and noise."""
    rng = np.random.default_rng(seed)
    images = rng.normal(128, 80, (n, 1, 1, channels)) + rng.normal(0, 50, (n, side, 1, channels))
    return np.clip(images + rng.normal(0, 40, (n, side, side, channels)), 0, 255).astype(np.uint8)


def on_host(written: Library, integers: np.ndarray) -> np.ndarray:
    """Logits (N, classes) int8 of the library built here, quickly."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in written.sources().items():
            (folder / file).write_text(text)
        sizes = {"in_values": integers[0].size, "classes": len(written.classes)}
        return HostLibrary(folder, folder, **sizes, level="-O0")(integers)


def in_interpreter(model: bytes, integers: np.ndarray) -> np.ndarray:
    """Logits (N, classes) int8 in TensorFlow Lite Micro."""
    from labkit.deploy.litert.micro_interpreter import MicroInterpreter

    interpreter = MicroInterpreter(model)
    return np.stack([interpreter.integers(image[None]) for image in integers])


# A library that is no network, for the emulated board.
HEADER = """
#include <stdint.h>
#define NET_ARENA_BYTES 16
#define NET_LAYERS 2
#define NET_SIDE 2
#define NET_CHANNELS 1
#define NET_CLASSES 4
int8_t *net_input(void);
void net_read_pixels(const uint8_t *pixels, int8_t *in);
void net_run(const int8_t *in, int8_t *out);
"""
SOURCE = """
#include "net.h"
static int32_t arena[4];
int8_t *net_input(void) {{ return (int8_t *)arena; }}
void net_read_pixels(const uint8_t *pixels, int8_t *in) {{ (void)pixels, (void)in; }}
void net_run(const int8_t *in, int8_t *out) {{
    __asm__ volatile(".rept 1000\\n nop\\n .endr");
    NET_DONE(0);
    {second}
    for (int i = 0; i < 4; i++) out[i] = in[i] - 128;
    NET_DONE(1);
}}
"""
LOOP = (
    """__asm__ volatile("movs r3, %0\\n 1: subs r3, r3, #1\\n bne 1b" ::"I"(200) : "r3", "cc");"""
)


def synthetic(second: str) -> dict[str, str]:
    """A library of two layers whose instructions are known: a thousand, and those of `second`."""
    kernels = {"net_kernels.c": "typedef int nothing;\n"}
    return {"net.h": HEADER, "net.c": SOURCE.format(second=second), **kernels}
