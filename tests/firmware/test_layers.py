"""The engine against TensorFlow Lite Micro's interpreter: logits are equal to the bit."""

import numpy as np
import pytest
from firmware_for_tests import (
    GRAY,
    in_interpreter,
    needs_interpreter,
    on_host,
    random_library,
    random_pixels,
)
from int8_models_for_tests import int8_model
from networks_for_tests import RICH

from labkit.firmware.layers import ConvolutionLayer, quantized_network
from labkit.space import SearchSpace, Stage, network
from labkit.space.operators import Operator, convolution, global_pool
from labkit.space.presets import spaces
from labkit.storage.errors import ExportError

pytestmark = needs_interpreter
# What a microcontroller has at most: SRAM for the arena and flash for weights, bytes.
LARGEST_ARENA, LARGEST_WEIGHTS = 512_000, 2_000_000


def assert_equal(space: SearchSpace, arch, seed: int, images: int) -> None:
    written, model = random_library(space, arch, seed)
    side, _, channels = written.input_shape
    integers = written.quantized(random_pixels(side, channels, images, seed))
    logits = on_host(written, integers)
    assert images == 1 or logits.std(0).max() > 0  # images matter
    np.testing.assert_array_equal(logits, in_interpreter(model, integers))


@pytest.mark.parametrize("space", [RICH, GRAY], ids=lambda space: space.name)
def test_logits_are_the_interpreters_to_the_bit(space):
    for seed, arch in enumerate(space.decode(space.sample(np.random.default_rng(2), 3))):
        assert_equal(space, arch, seed, images=8)


def test_logits_of_a_shipped_space_are_the_interpreters():
    space = spaces["fmnist"]
    for seed, arch in enumerate(
        (space.smallest(), *space.decode(space.sample(np.random.default_rng(0), 1)))
    ):
        assert_equal(space, arch, seed, images=4)


@pytest.mark.slow
@pytest.mark.parametrize("space", spaces.values(), ids=lambda space: space.name)
def test_twenty_archs_of_every_shipped_space(space):
    """Of those that fit a microcontroller at all."""
    from labkit.firmware.plan import arena_plan

    rng, tested = np.random.default_rng(20), 0
    for _ in range(2000):
        (arch,) = space.decode(space.sample(rng, 1))
        operators = network.operators(space, arch)
        weights = sum(operator.weights for operator in operators)
        if weights > LARGEST_WEIGHTS or arena_plan(operators).arena_bytes > LARGEST_ARENA:
            continue
        assert_equal(space, arch, tested, images=2)
        tested += 1
        if tested == 20:
            return
    if not tested:
        pytest.skip(f"none of 2,000 random archs of {space.name} fits a microcontroller")


def test_maps_of_more_pixels_than_16_bits_count():
    stage = Stage(4, 1, (1,), (3,), (2,), se=True)
    space = SearchSpace("huge", (200,), (stage,), 1, num_classes=2, stem_width=4, stem_stride=1)
    assert_equal(space, space.smallest(), seed=0, images=2)


def two_layers(first: Operator) -> list[Operator]:
    """A network of one layer, with what makes logits of it."""
    channels = first.out_channels
    return [
        first,
        global_pool(channels, first.out_side, part="pool"),
        Operator("linear", channels, 5, 1, bias=True, part="classifier"),
    ]


@pytest.mark.parametrize(
    "layer",
    [
        convolution(3, 10, 3, 9, 2, act="relu6", norm=True, part="stem"),
        convolution(6, 6, 7, 8, 2, depthwise=True, act="h_swish", norm=True, part="stem"),
        convolution(4, 6, 9, 11, depthwise=False, act="relu", norm=True, part="stem"),
        convolution(5, 5, 9, 12, 2, depthwise=True, norm=True, part="stem"),
        convolution(6, 7, 1, 5, act="relu", norm=True, part="stem"),
        convolution(8, 7, 1, 6, 2, norm=True, part="stem"),
    ],
    ids=lambda layer: f"{layer.kind}{layer.kernel}-{layer.stride}",
)
def test_single_layers_of_odd_sizes(layer):
    """Kernels without a function of their own, channels that fill no block, strided 1x1."""
    from firmware_for_tests import library

    operators = two_layers(layer)
    model = int8_model(operators, 3)
    written = library(operators, model, None)
    integers = written.quantized(random_pixels(layer.side, layer.in_channels, 6))
    np.testing.assert_array_equal(on_host(written, integers), in_interpreter(model, integers))


def test_activations_fold_into_the_convolution_before_them():
    operators = network.operators(RICH, RICH.largest())
    layers = quantized_network(int8_model(operators), operators).layers
    assert [layer.operator for layer in layers] == operators
    for layer in layers:
        if isinstance(layer, ConvolutionLayer) and layer.operator.act in ("h_swish", "h_sigmoid"):
            assert layer.activation.shape == (256,)


def test_a_model_of_another_network_is_refused():
    small, large = (network.operators(RICH, arch) for arch in (RICH.smallest(), RICH.largest()))
    with pytest.raises(ExportError):
        quantized_network(int8_model(large), small)
    with pytest.raises(ExportError):
        quantized_network(int8_model(small), large)
    with pytest.raises(ExportError, match="no TFLite model"):
        quantized_network(b"\x00" * 64, small)


def test_an_operator_that_the_engine_lacks_is_named():
    operators = network.operators(RICH, RICH.smallest())
    model = int8_model(operators)
    pool = next(i for i, operator in enumerate(operators) if operator.kind == "pool")
    windows = [*operators[:pool], operators[pool]._replace(kernel=2, stride=2)]
    with pytest.raises(ExportError, match="whole maps"):
        quantized_network(model, windows)
