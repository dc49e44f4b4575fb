"""The supernet: one set of weights that holds every subnet of a search space."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from labkit.space import Arch, Block, BlockShape, SearchSpace, mid_channels
from labkit.supernet.elastic import (
    ACTIVATION_FUNCTIONS,
    EPS,
    BatchNormStats,
    BatchStatistics,
    ElasticBatchNorm,
    ElasticConv,
    ElasticDepthwise,
    ElasticLinear,
    ElasticSqueezeExcite,
)
from labkit.supernet.subnet import Subnet, block_name

BATCH = BatchStatistics()


class _NoInitialization(TorchFunctionMode):
    """Modules made inside have parameters of any value: drawing random ones takes longer than
    copying into them.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


class ElasticConvNorm(nn.Module):
    """Convolution, batch norm and activation. Children are named as in `Conv2dNormActivation`."""

    def __init__(self, conv: nn.Module, channels: int, act: str | None, eps: float = EPS) -> None:
        super().__init__()
        self.add_module("0", conv)
        self.add_module("1", ElasticBatchNorm(channels, eps))
        self.act = ACTIVATION_FUNCTIONS[act] if act else None
        self.act_in_place = act != "h_swish"  # whose gradient needs its input

    def forward(
        self, x: Tensor, size: int | None, stats: BatchStatistics | BatchNormStats
    ) -> Tensor:
        """`size` is what the convolution takes: output channels, or a kernel size if depthwise."""
        conv, norm = self._modules["0"], self._modules["1"]
        x = norm(conv(x, size), stats)
        # Batch norm's gradient does not need its output, so that need not be kept: fresh memory is
        # slow.
        return (
            self.act(x, inplace=self.act_in_place or not torch.is_grad_enabled()) if self.act else x
        )


class ElasticBlock(nn.Module):
    """Inverted residual block, elastic in kernel size and expand ratio."""

    def __init__(
        self,
        shape: BlockShape,
        kernels: tuple[int, ...],
        expands: tuple[int, ...],
        act: str,
        se: bool,
        *,
        eps: float = EPS,
    ) -> None:
        super().__init__()
        self.shape = shape
        mid = mid_channels(shape.in_channels, expands[-1])
        self.expand = (
            ElasticConvNorm(ElasticConv(shape.in_channels, mid), mid, act, eps)
            if expands[-1] > 1
            else None
        )
        self.depthwise = ElasticConvNorm(
            ElasticDepthwise(mid, kernels, shape.stride), mid, act, eps
        )
        self.se = ElasticSqueezeExcite(mid) if se else None
        self.project = ElasticConvNorm(
            ElasticConv(mid, shape.out_channels), shape.out_channels, None, eps
        )
        if (
            shape.has_shortcut
        ):  # a block starts as the identity, so that depth is elastic from the first step
            nn.init.zeros_(self.project.get_submodule("1").weight)

    def forward(self, x: Tensor, block: Block, stats: BatchStatistics | BatchNormStats) -> Tensor:
        y = x
        if self.expand is not None:
            y = self.expand(y, mid_channels(self.shape.in_channels, block.expand), stats)
        y = self.depthwise(y, block.kernel, stats)
        if self.se is not None:
            y = self.se(y)
        y = self.project(y, None, stats)
        if not self.shape.has_shortcut:
            return y
        return y.add_(x)


class Supernet(nn.Module):
    """All subnets of `space` in one set of weights.

    `supernet(x, arch)` normalizes by the batch, as in training; `supernet(x, arch, stats)` uses the
    statistics that `labkit.supernet.evaluation.recalibrate` returned for that arch. There is no
    active subnet: two calls with two archs do not disturb each other.

    With `only`, it holds the weights of that arch and no more, freshly drawn for its own sizes:
    what a subnet is when it trains alone.
    """

    def __init__(self, space: SearchSpace, only: Arch | None = None) -> None:
        super().__init__()
        if only is not None:
            space.validate(only)
        self.space, self.only = space, only
        width, eps = space.stem_width, space.bn_eps
        self.stem = ElasticConvNorm(
            ElasticConv(space.in_channels, width, 3, space.stem_stride), width, space.stem_act, eps
        )
        self.first = (
            ElasticBlock(
                BlockShape(-1, 0, width, space.first_width, 1),
                (3,),
                (1,),
                space.first_act,
                se=False,
                eps=eps,
            )
            if space.first_width
            else None
        )
        self.blocks = nn.ModuleDict()
        for shape in space.blocks:
            stage = space.stages[shape.stage]
            kernels, expands = stage.kernels, stage.expands
            if only is not None:
                blocks = only.stages[shape.stage]
                if shape.index >= len(blocks):
                    continue
                kernels, expands = ((choice,) for choice in blocks[shape.index])
            self.blocks[block_name(shape.stage, shape.index)] = ElasticBlock(
                shape, kernels, expands, stage.act, stage.se, eps=eps
            )
        width = space.stages[-1].width
        self.final = (
            ElasticConvNorm(
                ElasticConv(width, space.final_width), space.final_width, space.head_act, eps
            )
            if space.final_width
            else None
        )
        width = space.final_width or width
        self.feature = (
            nn.Sequential(ElasticConv(width, space.feature_width)) if space.feature_width else None
        )
        self.head_act = ACTIVATION_FUNCTIONS[space.head_act]
        self.classifier = ElasticLinear(space.feature_width or width, space.num_classes)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)
        for name, module in self.named_modules():
            if isinstance(module, ElasticBatchNorm):
                module.name = name

    def forward(
        self,
        x: Tensor,
        arch: Arch,
        stats: BatchStatistics | BatchNormStats | None = None,
        *,
        recompute: bool = False,
    ) -> Tensor:
        """Logits (N, classes) of the subnet `arch` on images (N, C, r, r) of its resolution r.

        With `recompute`, the backward pass computes each block again instead of keeping what is
        inside it (arXiv 1604.06174): less memory, the same gradients, a third more time. Not for a
        `Recorder`.

        Raises ValueError for an arch of another space or images of another resolution, KeyError or
        ValueError for another arch's `stats`.
        """
        self.check(arch)
        if x.shape[-2:] != (arch.resolution, arch.resolution):
            raise ValueError(
                f"images are {x.shape[-2]}x{x.shape[-1]}, the arch wants {arch.resolution} pixels; "
                "resize them with labkit.data.datasets.resize"
            )
        if x.shape[1] != self.space.in_channels:
            raise ValueError(
                f"images have {x.shape[1]} channels, space {self.space.name!r} wants "
                f"{self.space.in_channels}; is this another data set's space?"
            )
        stats = BATCH if stats is None else stats
        x = self.begin(x, stats)
        for s, blocks in enumerate(arch.stages):
            for i, block in enumerate(blocks):
                layer = self.blocks[block_name(s, i)]
                x = (
                    checkpoint(layer, x, block, stats, use_reentrant=False)
                    if recompute
                    else layer(x, block, stats)
                )
        return self.finish(x, stats)

    def check(self, arch: Arch) -> None:
        """Raise ValueError unless its weights are here: a ratio above the largest would run as the
        largest.
        """
        if self.only is not None and arch != self.only:
            raise ValueError(f"this network holds one arch ({self.only}), not {arch}")
        self.space.validate(arch)

    def begin(self, x: Tensor, stats: BatchStatistics | BatchNormStats) -> Tensor:
        """Images -> what enters the first elastic block: the part that all archs share."""
        # Up to twice as fast on CPUs. `contiguous` would leave images of one channel as they are.
        x = x.to(memory_format=torch.channels_last)
        x = self.stem(x, None, stats)
        return x if self.first is None else self.first(x, Block(3, 1), stats)

    def finish(self, x: Tensor, stats: BatchStatistics | BatchNormStats) -> Tensor:
        """What leaves the last block -> logits (N, classes)."""
        if self.final is not None:
            x = self.final(x, None, stats)
        x = F.adaptive_avg_pool2d(x, 1)  # (N, C, 1, 1)
        if self.feature is not None:
            x = self.head_act(self.feature(x))
        return self.classifier(x.flatten(1))

    @torch.no_grad()
    def extract(self, arch: Arch, stats: BatchNormStats) -> Subnet:
        """The subnet `arch` as ordinary torch modules in eval mode, with copies of the weights.

        Raises ValueError for an arch of another space, KeyError or ValueError for another arch's
        `stats`.
        """
        self.check(arch)
        with _NoInitialization():
            subnet = Subnet(self.space, arch)
        ours = dict(self.named_modules())
        for name, module in subnet.named_modules():
            for kind, theirs in module.named_parameters(recurse=False):
                if isinstance(ours[name], ElasticDepthwise):
                    theirs.copy_(ours[name].active(len(theirs), theirs.shape[-1]))
                else:
                    theirs.copy_(getattr(ours[name], kind)[tuple(slice(n) for n in theirs.shape)])
            if isinstance(module, nn.BatchNorm2d):
                mean, variance = stats.of(name, module.num_features)
                module.running_mean.copy_(mean)
                module.running_var.copy_(variance)
        return subnet.eval()
