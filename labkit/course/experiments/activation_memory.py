"""How much memory activations take in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor


def peak_saved_bytes(compute: Callable[[], object]) -> int:
    """The most bytes of activations that autograd keeps at one time while `compute` runs.

    What several operations keep for their backward passes counts once. Weights do not count, since
    they are in memory anyway.
    """
    peak = 0
    users: Counter[tuple[int, int]] = Counter()  # operations that keep a storage (address, bytes)

    class SavedTensor:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal peak
            self.tensor, storage = tensor, tensor.untyped_storage()
            base = tensor if tensor._base is None else tensor._base
            is_weight = isinstance(base, torch.nn.Parameter)
            self.key = None if is_weight else (storage.data_ptr(), storage.nbytes())
            if self.key:
                users[self.key] += 1
                peak = max(peak, sum(size for _, size in users))

        def __del__(self) -> None:
            if self.key:
                users[self.key] -= 1
                if not users[self.key]:
                    del users[self.key]

    with torch.autograd.graph.saved_tensors_hooks(SavedTensor, lambda saved: saved.tensor):
        compute()
    return peak
