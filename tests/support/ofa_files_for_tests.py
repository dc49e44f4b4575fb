"""Tables of latencies and an accuracy predictor in the form of OFA's authors, made up."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from labkit.latency.measured.blocks import timed_blocks
from labkit.official.latency_tables import Dialect, layer_names
from labkit.space import SearchSpace


def random_times(space: SearchSpace, dialect: Dialect, sides: tuple[int, ...]) -> dict[str, float]:
    """Milliseconds of every layer of `space` at some of its resolutions; equal layers have equal
    times whatever the resolutions.
    """
    blocks = timed_blocks(replace(space, resolutions=sides)).values()
    names = sorted({name for block in blocks for name in layer_names(space, block, dialect)})
    return {
        name: float(np.random.default_rng(list(name.encode())).uniform(0.1, 1)) for name in names
    }


def table_text(times: dict[str, float]) -> str:
    return "".join(
        f"{name}:\n  count: 100\n  mean: {ms!r}\n  std: 0.01\n" for name, ms in times.items()
    )


def random_network() -> nn.Sequential:
    """The accuracy predictor's network with random weights."""
    torch.manual_seed(0)
    sizes = (128, 400, 400, 400, 1)
    layers = [part for a, b in zip(sizes, sizes[1:]) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])
