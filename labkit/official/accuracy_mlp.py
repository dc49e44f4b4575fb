"""OFA's own accuracy predictor for ImageNet, as its authors publish it: a network over the choices
of an arch of `ofa-mbv3-w1.2`.

It was fitted to accuracies on images that were held out of the training set, and so says more than
the validation images do: on four measured subnets 4.5 points more. What it says at 112, 128 and 144
pixels does not follow from any measured arch (the mean there is above that at 160), so this module
takes it from 160 pixels on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from labkit.latency.measured.untrusted_json import FILE_BYTES
from labkit.official.published_files import fetched
from labkit.official.published_weights import read_pickle
from labkit.space import SearchSpace
from labkit.space.presets import get_space
from labkit.storage.tensor_file import CheckpointError

TRAINED_SPACE = "ofa-mbv3-w1.2"
RESOLUTIONS = (160, 176, 192, 208, 224)  # that archs of its training had
FIRST_RESOLUTION, RESOLUTION_STEP, RESOLUTION_COLUMNS = 112, 16, 8
HIDDEN = 400
BATCH = 4096  # archs at a time, for which memory is needed


class AccuracyMlp:
    """Top-1 accuracy in percent by the published predictor: call it on (N, G) genes of `space`.

    The space is `ofa-mbv3-w1.2`, or one of as many blocks with the same choices, at resolutions of
    160 to 224 pixels. Raises ValueError for another space, CheckpointError for weights of another
    network.
    """

    def __init__(self, space: SearchSpace, state: Mapping[str, Tensor], source: object) -> None:
        choices = {(stage.kernels, stage.expands) for stage in space.stages}
        others = sorted(set(space.resolutions) - set(RESOLUTIONS))
        if len(space.blocks) != 20 or choices != {((3, 5, 7), (3, 4, 6))} or others:
            raise ValueError(
                f"the published predictor is for 20 blocks of 9 choices each, and for"
                f" {', '.join(map(str, RESOLUTIONS))} px; space {space.name!r} has"
                f" {len(space.blocks)} blocks and {', '.join(map(str, space.resolutions))} px"
            )
        self.space = space
        sizes = (6 * len(space.blocks) + RESOLUTION_COLUMNS, HIDDEN, HIDDEN, HIDDEN, 1)
        expected = {}
        for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
            expected |= {f"{2 * i}.weight": (outputs, inputs), f"{2 * i}.bias": (outputs,)}
        shapes = {name: tuple(getattr(value, "shape", ())) for name, value in state.items()}
        if shapes != expected:
            name = min(item[0] for item in shapes.items() ^ expected.items())
            raise CheckpointError(
                f"{source} is not the accuracy predictor of {TRAINED_SPACE}, a network of"
                f" {'-'.join(map(str, sizes))}: {name!r} is {shapes.get(name, 'missing')}, want"
                f" {expected.get(name, 'no such tensor')}"
            )
        self._layers = [
            (
                state[f"{2 * i}.weight"].to(torch.float32).numpy().T.copy(),
                state[f"{2 * i}.bias"].to(torch.float32).numpy(),
            )
            for i in range(len(sizes) - 1)
        ]

    def __call__(self, genes: np.ndarray) -> np.ndarray:  # (N,)
        parts = [self._batch(genes[i : i + BATCH]) for i in range(0, len(genes), BATCH)]
        return np.concatenate([np.empty(0), *parts])

    def _batch(self, genes: np.ndarray) -> np.ndarray:
        x = self._features(genes)  # (N, 128)
        for weight, bias in self._layers[:-1]:
            x = x @ weight
            x += bias
            np.maximum(x, 0, out=x)
        weight, bias = self._layers[-1]
        return 100.0 * (x @ weight + bias)[:, 0]

    def _features(self, genes: np.ndarray) -> np.ndarray:
        """(N, 128) one-hot: each block's kernel size, each block's expand ratio (zeros where the
        block is absent), the resolution.
        """
        columns, one_hot = self.space.kernel_columns, np.eye(3, dtype=np.float32)
        present = self.space.gene_mask(genes)[:, columns, None]
        kernels, expands = (
            (one_hot[genes[:, columns + offset]] * present).reshape(len(genes), -1)
            for offset in (0, 1)
        )
        place = (np.array(self.space.resolutions) - FIRST_RESOLUTION) // RESOLUTION_STEP
        resolution = np.eye(RESOLUTION_COLUMNS, dtype=np.float32)[place[genes[:, 0]]]
        return np.concatenate([kernels, expands, resolution], axis=1)


def trained_space(name: str = TRAINED_SPACE) -> SearchSpace:
    """The space called `name` at the resolutions for which the predictor says something."""
    return replace(get_space(name), resolutions=RESOLUTIONS)


def load_mlp(path: Path | None = None) -> AccuracyMlp:
    """The predictor that `labkit official fetch predictor` left here, or that in the file `path`.

    Raises LabError where it was not fetched, or is another file's.
    """
    path = path or fetched("predictor")
    if path.is_file() and path.stat().st_size > FILE_BYTES:
        raise CheckpointError(
            f"{path} has {path.stat().st_size} bytes, the accuracy predictor at most {FILE_BYTES}"
        )
    return AccuracyMlp(trained_space(), read_pickle(path), path)
