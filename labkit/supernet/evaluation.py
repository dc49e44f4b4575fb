"""BN recalibration, and the accuracy of subnets.

Batch-norm statistics depend on which channels, blocks and kernels run before, so those of one
subnet are wrong for every other. Each subnet gets its own from a few training images before it is
evaluated; no weight changes (OFA, arXiv 1908.09791; "BN calibration" in BigNAS, arXiv 2003.11142,
section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor
from tqdm.auto import tqdm

from labkit.data.datasets import DataSet, normalize, resize
from labkit.data.streamed_images import StreamedImages
from labkit.space import Arch
from labkit.supernet.batch_norm import BatchNormStats, Recorder
from labkit.supernet.prefix_tree import TreeWalk, global_choice, path_of, tree_of
from labkit.supernet.supernet import Supernet

RECALIBRATION_IMAGES = 2000
IMAGES_AT_FORKS = 2500  # images whose activations are kept at a time where archs part
STREAMED_VALUES = 2**26  # numbers of images that are streamed, at a time: 256 MB
# Small enough for the activations to stay in the cache: twice as fast as 500.
EVALUATION_BATCH = 100


class Evaluator:
    """Accuracy of subnets of one supernet on one split, each with its own batch-norm statistics.

    Images are normalized once, and resized once for each resolution. With `images`, that many are
    used, spread over the split, instead of all. Images that are streamed are decoded again for each
    arch, or for all archs of one call of `accuracies`. Raises ValueError for a number below 1.
    """

    def __init__(
        self,
        supernet: Supernet,
        dataset: DataSet,
        split: str,
        *,
        images: int | None = None,
        recalibration_images: int = RECALIBRATION_IMAGES,
        batch: int = EVALUATION_BATCH,
    ) -> None:
        self.supernet, self.batch = supernet, batch
        weights = next(supernet.parameters())
        self.device = weights.device

        def normalized(images: Tensor) -> Tensor:
            return normalize(images.to(self.device), dataset, weights.dtype)

        train, test = dataset.splits["train"], dataset.splits[split]
        calibration = spread(len(train.images), recalibration_images)
        if len(calibration) % batch == 1:
            calibration = calibration[:-1]  # alone in a batch, an image may have no variance
        self._calibration = normalized(train.images[calibration])
        evaluated = spread(len(test.images), len(test.images) if images is None else images)
        self.labels = test.labels[evaluated].to(self.device)
        self._stream: Callable[[], Iterator[Tensor]] | None = None
        self._chunk = IMAGES_AT_FORKS
        if isinstance(test.images, StreamedImages):
            image_size = test.images.shape[1:].numel()
            self._chunk = max(self.batch, min(IMAGES_AT_FORKS, STREAMED_VALUES // image_size))
            parts = evaluated.split(self._chunk)
            self._stream = lambda: map(normalized, test.images.batches(parts))
        else:
            self._images = normalized(test.images[evaluated])
        self._resized: dict[tuple[str, int], Tensor] = {}

    def _at(self, resolution: int, name: str = "_calibration") -> Tensor:
        """Images of the attribute `name`, resized."""
        if (name, resolution) not in self._resized:
            self._resized[name, resolution] = resize(getattr(self, name), resolution)
        return self._resized[name, resolution]

    def _chunks(self, resolution: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Labels (N,) and images (N, C, r, r) of the split, some of them at a time."""
        if self._stream is None:
            images = self._at(resolution, "_images").split(self._chunk)
        else:
            images = (resize(chunk, resolution) for chunk in self._stream())
        return zip(self.labels.split(self._chunk), images)

    def recalibrate(self, arch: Arch) -> BatchNormStats:
        return recalibrate(self.supernet, arch, self._at(arch.resolution).split(self.batch))

    @torch.inference_mode()
    def logits(self, arch: Arch, stats: BatchNormStats | None = None) -> Tensor:
        """(N, classes) logits on the split; recalibrates first unless `stats` are given."""
        stats = self.recalibrate(arch) if stats is None else stats
        return torch.cat(
            [
                self.supernet(batch, arch, stats)
                for _, images in self._chunks(arch.resolution)
                for batch in images.split(self.batch)
            ]
        )

    def accuracy(self, arch: Arch, stats: BatchNormStats | None = None) -> float:
        """Top-1 accuracy in percent."""
        return self._percent(hits(self.logits(arch, stats), self.labels))

    def _percent(self, count: int) -> float:
        return 100 * count / len(self.labels)

    @torch.inference_mode()
    def accuracies(self, archs: Sequence[Arch], progress: bool = False) -> list[float]:
        """Accuracy of each arch, the same as `accuracy` gives, computing common prefixes once.

        Work grows with the number of different prefixes (`labkit.supernet.prefix_tree`), memory
        only with how often a path forks: at most some 0.7 GB in `fmnist`. Raises ValueError for an
        arch of another space.
        """
        for arch in archs:
            self.supernet.check(arch)  # a block alone does not know which choices it has
        counts = [0] * len(archs)
        with tqdm(total=len(archs), desc="accuracy", unit="arch", disable=not progress) as bar:
            for resolution, width in dict.fromkeys(map(global_choice, archs)):
                choice = resolution, width
                members = [i for i, arch in enumerate(archs) if global_choice(arch) == choice]
                tree = tree_of([path_of(archs[i]) for i in members])
                walk = TreeWalk(self.supernet, self.batch, width)
                walk.calibrate(tree, self._at(resolution))
                for labels, chunk in self._chunks(resolution):
                    share = len(labels) / len(self.labels)
                    for i, logits in walk.logits(tree, chunk):
                        counts[members[i]] += hits(logits, labels)
                        bar.update(share)
        return [self._percent(count) for count in counts]


def hits(logits: Tensor, labels: Tensor) -> int:
    """How many of the images (N,) have their label's logit (N, classes) as the largest."""
    return (logits.argmax(1) == labels).sum().item()


def spread(total: int, count: int) -> Tensor:
    """`count` indices at even distances below `total`, or all where there are no more: independent
    of any order in the images. Raises ValueError for a count below 1."""
    if count < 1:
        raise ValueError(f"{count} images: want at least 1")
    return torch.linspace(0, total - 1, min(count, total), dtype=torch.float64).round().long()


@torch.no_grad()
def recalibrate(supernet: Supernet, arch: Arch, batches: Iterable[Tensor]) -> BatchNormStats:
    """Batch-norm statistics of `arch`, averaged over `batches` of images at its resolution.

    Each batch is normalized by its own statistics on the way, as in training. The result equals
    what `torch.nn.BatchNorm2d(momentum=None)` gathers when the extracted subnet sees the same
    batches.
    """
    recorder = Recorder()
    for images in batches:
        recorder.next_batch()
        supernet(images, arch, recorder)
    if not recorder.batches:
        raise ValueError("recalibration needs at least one batch of images")
    return recorder.stats
