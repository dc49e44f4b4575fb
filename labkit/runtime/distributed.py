"""Several processes share the work of one: a part of every batch in training, of archs to measure.

`torchrun --nproc-per-node N -m labkit train ...` starts them. A single process is a world of one,
and runs the same code; only one that torchrun did not start has nobody to talk to.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import pad

from labkit.runtime.machine import choose_device
from labkit.storage.errors import LabError


class World(NamedTuple):
    """The processes of a run, as one of them sees it."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no group of processes to talk to, not even of this one."""
        return not dist.is_initialized()

    @property
    def kind(self) -> str:
        """What its hours are hours of: "gpu" or "cpu"."""
        return "gpu" if self.device.type == "cuda" else "cpu"

    def seconds(self) -> float:
        """What this process has taken of it, from some moment on: a GPU is taken all the time, a
        CPU core while it computes.
        """
        return time.perf_counter() if self.kind == "gpu" else time.process_time()

    def part(self, samples: Tensor) -> Tensor:
        """This rank's part of the samples of a batch, (B,) -> (B / size,)."""
        return samples.chunk(self.size)[self.rank]

    def mean(self, value: float) -> float:
        """The mean of every rank's `value`; the same on all of them."""
        if self.alone:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.item() / self.size

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its mean over the ranks, which have trained the same archs."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not self.alone:
            joint = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(joint)
            joint /= self.size
            for gradient, mean in zip(gradients, joint.split([g.numel() for g in gradients])):
                gradient.copy_(mean.view_as(gradient))

    def gather(self, values: Sequence[float]) -> list[float]:
        """Every rank's values, one after the other; the same on all of them."""
        if self.alone:
            return list(values)
        mine = torch.tensor(values, dtype=torch.float64, device=self.device)
        count = torch.tensor([len(mine)], device=self.device)
        counts = [torch.empty_like(count) for _ in range(self.size)]
        dist.all_gather(counts, count)
        longest = max(map(int, counts))  # parts have to be of one length
        parts = [mine.new_empty(longest) for _ in range(self.size)]
        dist.all_gather(parts, pad(mine, (0, longest - len(mine))))
        return [value for part, n in zip(parts, counts) for value in part[: int(n)].tolist()]

    def from_first(self, values: np.ndarray) -> np.ndarray:
        """The first rank's values, on all of them; everyone's have the same shape."""
        if self.alone:
            return values
        tensor = torch.from_numpy(values).to(self.device)
        dist.broadcast(tensor, 0)
        return tensor.cpu().numpy()

    def wait(self) -> None:
        """Until every rank has come here."""
        if not self.alone:
            dist.barrier()


@contextmanager
def world(device: str | None = None) -> Iterator[World]:
    """Join the processes that torchrun started, or be the only one.

    `device` is "cpu", "cuda" or None for a GPU if there is one; raises ValueError if it is not
    there.
    """
    place = choose_device(device)
    cuda = place.type == "cuda"
    if cuda:
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    if not dist.is_torchelastic_launched():
        yield World(0, 1, place)
        return
    if cuda:
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), place)
    except RuntimeError as error:  # what gloo and nccl raise where another process is gone
        if dist.get_rank() and "onnection" in str(error):
            raise LabError("another process of this run ended; its message says why") from error
        raise
    finally:
        dist.destroy_process_group()
