"""The graph builder against torch."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from networks_for_tests import RICH, run_model, shake
from torch import nn

from labkit.deploy.onnx.export import folded_weights
from labkit.runtime import onnx_graph as graph
from labkit.space import BlockShape, network
from labkit.supernet.subnet import InvertedResidual


@pytest.mark.parametrize(
    "shape, kernel, expand",
    [
        (BlockShape(0, 0, 16, 24, 2, "h_swish", True), 7, 3),
        (BlockShape(0, 1, 16, 16, 1, "relu", False), 3, 4),
        (BlockShape(0, 0, 8, 8, 1, "relu6", True), 5, 1),
        (BlockShape(0, 0, 24, 16, 1, "h_swish", False), 3, 6),
    ],
)
@pytest.mark.parametrize("side", [7, 10])
def test_block_model_equals_the_torch_block(shape, kernel, expand, side):
    torch.manual_seed(kernel)
    operators = network.block(shape, kernel, expand, side)
    block = shake(
        InvertedResidual(operators),
        side,
        torch.randn(8, shape.in_channels, side, side),
    )
    holder = nn.Module()
    holder.block = block
    folded = folded_weights(holder)
    model = graph.model_of(operators, lambda name, _: folded[name])
    onnx.checker.check_model(model, full_check=True)
    x = torch.randn(1, shape.in_channels, side, side)
    with torch.no_grad():
        expected = block(x).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(run_model(model, x), expected, atol=2e-5)


def test_pieces_run_one_after_another_are_the_whole_network():
    """Stem, blocks and head are cut at the right places: chained, they are the whole network."""
    space, arch = RICH, RICH.largest()
    x = torch.randn(1, 3, arch.resolution, arch.resolution)
    whole = run_model(graph.network_model(space, arch), x)
    y = run_model(graph.model_of(network.stem(space, arch.resolution)), x)
    for shape in space.blocks:
        kernel, expand = arch.stages[shape.stage][shape.index]
        block = network.block(shape, kernel, expand, y.shape[-1])
        y = run_model(graph.model_of(block), torch.from_numpy(y))
    y = run_model(graph.model_of(network.head(space, y.shape[-1])), torch.from_numpy(y))
    np.testing.assert_allclose(y, whole, rtol=1e-4, atol=1e-5)


def test_wrong_weights_are_named():
    with pytest.raises(ValueError, match="layer 'classifier' needs weights"):
        graph.network_model(
            RICH,
            RICH.smallest(),
            lambda name, shape: graph.filler(
                name, (shape[0], 1) if name == "classifier" else shape
            ),
        )


def test_building_graphs_does_not_import_torch():
    code = (
        "import sys; from labkit.runtime.onnx_graph import network_model; from labkit.space.presets"
        " import get_space; s = get_space('fmnist'); network_model(s, s.smallest()); print('torch'"
        " in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "False"
    )
