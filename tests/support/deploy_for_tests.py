"""A data set of two classes, for deployments that take no time."""

import numpy as np
import torch

from labkit.data.datasets import DataSet, Split


def tiny_data() -> DataSet:
    """Two classes, told apart by brightness; the four splits of a data set."""

    def split(n: int, seed: int) -> Split:
        rng = np.random.default_rng(seed)
        labels = np.arange(n) % 2
        images = rng.integers(0, 100, (n, 1, 28, 28)) + 100 * labels[:, None, None, None]
        return Split(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels))

    return DataSet(
        {
            name: split(n, i)
            for i, (name, n) in enumerate(
                (("train", 600), ("val-search", 20), ("val", 20), ("test", 300))
            )
        },
        (0.4,),
        (0.3,),
        ("dark", "bright"),
    )
