"""Elastic operators: layers that run with a part of their weights.

A narrower layer uses the first channels of the wide one, a smaller kernel is the transformed center
of the larger one (OFA, arXiv 1908.09791, section 3.3). How much is used follows from the input and
the arguments of the call; no operator remembers an active size.

Shapes in trailing comments: N images, C channels, H and W pixels, K the largest kernel size.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.space import se_channels

EPS = 1e-5  # batch norm, as in torch and in most spaces (`SearchSpace.bn_eps`)
ACTIVATION_FUNCTIONS = {"relu": F.relu, "relu6": F.relu6, "h_swish": F.hardswish}


class BatchStatistics:
    """Normalize by the statistics of the batch itself: what training does."""

    def normalize(
        self, name: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float = EPS
    ) -> Tensor:
        return F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


class DistributedStatistics(BatchStatistics):
    """Normalize by the statistics of the joint batch of all processes, each of which holds an equal
    part.

    What `torch.nn.SyncBatchNorm` does on GPUs, on any device.
    """

    def normalize(
        self, name: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float = EPS
    ) -> Tensor:
        return _JointBatchNorm.apply(x, weight, bias, eps)


class _JointBatchNorm(torch.autograd.Function):
    """Batch norm whose statistics, and whose gradient's two sums over the batch, go through an
    all-reduce.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        kind = torch.promote_types(
            x.dtype, torch.float32
        )  # half precision does not hold a sum over a batch
        variance, mean = torch.var_mean(x.to(kind), (0, 2, 3), correction=0)
        joint_mean = _mean_over_ranks(mean)
        # Of squares about the joint mean: the mean of squares minus the squared mean would cancel.
        joint_variance = _mean_over_ranks(variance + (mean - joint_mean).square())
        ctx.save_for_backward(x, weight, joint_mean, (joint_variance + eps).rsqrt())
        return F.batch_norm(x, joint_mean, joint_variance, weight, bias, training=False, eps=eps)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale = ctx.saved_tensors
        n, c, h, w = x.shape
        kind = mean.dtype
        unit = (x.to(kind) - mean.view(-1, 1, 1)).mul_(
            scale.view(-1, 1, 1)
        )  # (N, C, H, W), mean 0 and variance 1
        sums = torch.stack(
            [grad.sum((0, 2, 3), dtype=kind), (grad * unit).sum((0, 2, 3), dtype=kind)]
        )  # (2, C)
        along, across = (_mean_over_ranks(sums) / (n * h * w)).view(2, c, 1, 1)
        grad_x = unit.mul_(-across).add_(grad).sub_(along).mul_((weight * scale).view(-1, 1, 1))
        return grad_x.to(x.dtype), sums[1].to(weight.dtype), sums[0].to(weight.dtype), None


def _mean_over_ranks(value: Tensor) -> Tensor:
    total = value.clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


class BatchNormStats(dict[str, tuple[Tensor, Tensor]]):
    """Mean and variance for each batch norm of one arch, by layer name: a value, not a state.

    Made by `labkit.supernet.evaluation.recalibrate`, passed to `Supernet.forward` and
    `Supernet.extract`.
    """

    def normalize(
        self, name: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float = EPS
    ) -> Tensor:
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

    def normalize(
        self, name: str, x: Tensor, weight: Tensor, bias: Tensor, eps: float = EPS
    ) -> Tensor:
        if name not in self.stats:
            self.stats[name] = (torch.zeros_like(weight), torch.ones_like(weight))
        mean, variance = self.stats[name]
        # F.batch_norm folds the batch into the running values itself, without a second pass over x.
        return F.batch_norm(
            x, mean, variance, weight, bias, training=True, momentum=1 / self.batches, eps=eps
        )


class ElasticBatchNorm(nn.Module):
    """Batch norm over as many channels as come in. Statistics come from outside.

    Where no gradient is recorded the result may be written over `x`.
    """

    def __init__(self, channels: int, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps
        self.name = ""  # its path in the supernet, under which statistics are kept
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, stats: BatchStatistics | BatchNormStats) -> Tensor:
        c, weight, bias = x.shape[1], self.weight, self.bias
        if c < len(weight):
            weight, bias = weight[:c], bias[:c]
        return stats.normalize(self.name, x, weight, bias, self.eps)


class ElasticConv(nn.Module):
    """Dense convolution that uses the first input and output channels."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, kernel // 2
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.kaiming_normal_(self.weight, mode="fan_out")

    def active(self, in_channels: int, out_channels: int) -> Tensor:
        if self.weight.shape[:2] == (out_channels, in_channels):
            return self.weight
        return self.weight[:out_channels, :in_channels]

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        out = self.weight.shape[0] if out_channels is None else out_channels
        bias = None if self.bias is None else self.bias[:out]
        return F.conv2d(x, self.active(x.shape[1], out), bias, self.stride, self.padding)


class _FastDepthwise(torch.autograd.Function):
    """Depthwise convolution, stride 1, whose gradients run as forward convolutions.

    oneDNN's own backward kernels for depthwise 5x5 and 7x7 are 3 to 10 times slower than its
    forward kernel. The gradient of the input is a convolution with the kernel flipped; that of the
    weight correlates each image's input with its output gradient: a depthwise convolution over N *
    C channels, summed over the images.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, None, 1, weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        n, c, h, w = x.shape
        k = weight.shape[-1]
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = F.conv2d(grad, weight.flip(2, 3), None, 1, k // 2, groups=c)
        if ctx.needs_input_grad[1]:
            if h <= 8:
                image = x.contiguous(memory_format=torch.contiguous_format).view(1, n * c, h, w)
                filters = grad.contiguous(memory_format=torch.contiguous_format).view(
                    n * c, 1, h, w
                )
                per_image = F.conv2d(image, filters, None, 1, k // 2, groups=n * c)  # (1, NC, K, K)
                grad_weight = per_image.view(n, c, 1, k, k).sum(0)
            else:  # a filter as large as the map costs more than oneDNN's kernel does
                grad_weight = torch.ops.aten.convolution_backward(
                    grad,
                    x,
                    weight,
                    None,
                    [1, 1],
                    [k // 2, k // 2],
                    [1, 1],
                    False,
                    [0, 0],
                    c,
                    [False, True, False],
                )[1]
        return grad_x, grad_weight


def depthwise_conv(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """`F.conv2d` with one filter (C, 1, K, K) for each channel of x, quick to differentiate on a
    CPU.
    """
    k = weight.shape[-1]
    if (
        stride == 1
        and k > 3
        and x.device.type == "cpu"
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    ):
        return _FastDepthwise.apply(x, weight)
    return F.conv2d(x, weight, None, stride, k // 2, groups=len(weight))


class ElasticDepthwise(nn.Module):
    """Depthwise convolution whose smaller kernels are linear transforms of the center of larger
    ones.

    `transforms["7to5"]` (25, 25) acts on the flattened center 5x5 of the 7x7 kernel, `"5to3"` (9,
    9) on the center of the result; one matrix each for all channels, starting as the identity.
    Source: OFA, section 3.3, "Elastic Kernel Size".
    """

    def __init__(self, channels: int, kernels: Iterable[int], stride: int = 1) -> None:
        super().__init__()
        self.kernels = tuple(sorted(kernels, reverse=True))
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(channels, 1, self.kernels[0], self.kernels[0]))
        nn.init.kaiming_normal_(
            self.weight, mode="fan_in"
        )  # one input channel each: fan_in is K * K
        self.transforms = nn.ParameterDict(
            {
                f"{large}to{small}": nn.Parameter(torch.eye(small**2))
                for large, small in zip(self.kernels, self.kernels[1:])
            }
        )

    def active(self, channels: int, kernel: int) -> Tensor:
        """(channels, 1, kernel, kernel): the kernels that a subnet uses."""
        if kernel not in self.kernels:
            raise ValueError(f"kernel size {kernel} is not one of {self.kernels}")
        weight = self.weight[:channels]
        for large, small in zip(self.kernels, self.kernels[1:]):
            if kernel == large:
                break
            edge = (large - small) // 2
            center = weight[:, :, edge : large - edge, edge : large - edge].reshape(
                channels, small**2
            )
            weight = F.linear(center, self.transforms[f"{large}to{small}"]).view(
                channels, 1, small, small
            )
        return weight

    def forward(self, x: Tensor, kernel: int) -> Tensor:
        c = x.shape[1]
        return depthwise_conv(x, self.active(c, kernel), self.stride)


class ElasticSqueezeExcite(nn.Module):
    """Squeeze-excite whose bottleneck follows the channels that come in (MobileNetV3, section 5.3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = ElasticConv(channels, se_channels(channels), bias=True)
        self.fc2 = ElasticConv(se_channels(channels), channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        c = x.shape[1]
        scale = F.adaptive_avg_pool2d(x, 1)  # (N, C, 1, 1)
        scale = F.relu(self.fc1(scale, se_channels(c)))
        return x * F.hardsigmoid(self.fc2(scale, c))


class ElasticLinear(nn.Linear):
    """Fully connected layer that uses the first input features."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight[:, : x.shape[1]], self.bias)
