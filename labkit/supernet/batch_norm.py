"""Batch norm whose statistics come from outside: of the batch, of all processes, or of one arch.

Statistics depend on which layers run before, so they belong to an arch and not to the supernet. A
layer is therefore called with an object that normalizes: `BatchStatistics` in training,
`BatchNormStats` in evaluation, and a `Recorder` to get from the one to the other.

Shapes in trailing comments: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5  # as in torch and in most spaces (`SearchSpace.bn_eps`)


class BatchStatistics:
    """Normalize by the statistics of the batch itself: what training does."""

    def normalize(self, name: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        return F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


class DistributedStatistics(BatchStatistics):
    """Normalize by the statistics of the joint batch of all processes, each of which holds an equal
    part.

    What `torch.nn.SyncBatchNorm` does on GPUs, on any device.
    """

    def normalize(self, name: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        return _JointBatchNorm.apply(x, weight, bias, eps)


class _JointBatchNorm(torch.autograd.Function):
    """Batch norm whose statistics, and whose gradient's two sums over the batch, are those of all
    processes: one exchange each.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        # Half precision does not hold a sum over a batch; with these, the result is as wide as they
        # are. As in F.batch_norm, which is ten times faster than torch.var_mean.
        unused = torch.zeros_like(weight, dtype=torch.promote_types(x.dtype, torch.float32))
        means, variances = _of_all_ranks(
            torch.stack(torch.batch_norm_update_stats(x, unused, unused.clone(), 0.0))
        ).unbind(1)  # (ranks, C) each
        mean = means.mean(0)
        # Of squares about the joint mean: the mean of squares minus the squared mean would cancel.
        variance = (variances + (means - mean).square()).mean(0)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps = eps
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, variance = ctx.saved_tensors
        n, _, h, w = x.shape
        scale = (variance + ctx.eps).rsqrt()
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, None, None, mean, scale, True, ctx.eps, [True, True, True]
        )
        # It took off the means over this process's part of the batch; those of all are to go.
        own = torch.stack([grad_weight, grad_bias]).to(mean.dtype) / (n * h * w)
        slope, offset = (own - _of_all_ranks(own).mean(0)) * (weight * scale)
        grad_x += F.batch_norm(x, mean, variance, slope, offset, training=False, eps=ctx.eps)
        return grad_x, grad_weight, grad_bias, None


def _of_all_ranks(value: Tensor) -> Tensor:
    """`value` of every process, stacked in their order."""
    values = [torch.empty_like(value) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(values, value)
    return torch.stack(values)


class BatchNormStats(dict[str, tuple[Tensor, Tensor]]):
    """Mean and variance for each batch norm of one arch, by layer name: a value, not a state.

    Made by `labkit.supernet.evaluation.recalibrate`, passed to `Supernet.forward` and
    `Supernet.extract`.
    """

    def normalize(self, name: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        mean, variance = self.of(name, len(weight))
        if torch.is_grad_enabled():
            return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        # What F.batch_norm computes, in half its time on channels-last images, and without a second
        # map: fresh memory for every map is a fifth of the time of a forward pass.
        scale = (variance + eps).rsqrt_().mul_(weight)
        offset = torch.addcmul(bias, mean, scale, value=-1)
        return torch.addcmul(offset.view(-1, 1, 1), x, scale.view(-1, 1, 1), out=x)

    def of(self, name: str, channels: int) -> tuple[Tensor, Tensor]:
        """Mean and variance of `name`; raises ValueError unless they have `channels` entries."""
        mean, variance = self[name]
        if len(mean) != channels:
            raise ValueError(
                f"batch-norm statistics of {name!r} have {len(mean)} channels, the arch needs "
                f"{channels}; recalibrate for this arch"
            )
        return mean, variance

    def __missing__(self, name: str) -> tuple[Tensor, Tensor]:
        raise KeyError(f"no batch-norm statistics for {name!r}; recalibrate for this arch")


class Recorder(BatchStatistics):
    """Normalize by the batch and average each batch norm's statistics over the batches seen.

    The same numbers as `torch.nn.BatchNorm2d(momentum=None)` in training mode (its variance is the
    unbiased one). Call `next_batch` before each batch; `stats` is the result.
    """

    def __init__(self) -> None:
        self.batches = 0
        self.stats = BatchNormStats()

    def next_batch(self) -> None:
        self.batches += 1

    def normalize(self, name: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        if name not in self.stats:
            self.stats[name] = (torch.zeros_like(weight), torch.ones_like(weight))
        mean, variance = self.stats[name]
        # F.batch_norm folds the batch into the running values itself, without a second pass over x.
        return F.batch_norm(
            x, mean, variance, weight, bias, training=True, momentum=1 / self.batches, eps=eps
        )


Statistics = BatchStatistics | BatchNormStats


class ElasticBatchNorm(nn.Module):
    """Batch norm over as many channels as come in. Statistics come from outside.

    Where no gradient is recorded the result may be written over `x`.
    """

    def __init__(self, channels: int, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps
        self.name = ""  # its path in the supernet, under which its statistics are found
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, stats: Statistics) -> Tensor:
        c, weight, bias = x.shape[1], self.weight, self.bias
        if c < len(weight):
            weight, bias = weight[:c], bias[:c]
        return stats.normalize(self.name, x, weight, bias, self.eps)
