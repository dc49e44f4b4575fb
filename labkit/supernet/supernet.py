"""The supernet: one set of weights that holds every subnet of a search space."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from labkit.space import Arch, Block, SearchSpace, block_name, network
from labkit.supernet.batch_norm import BatchNormStats, BatchStatistics, ElasticBatchNorm, Statistics
from labkit.supernet.elastic import ElasticDepthwise, elastic_part
from labkit.supernet.subnet import Subnet

BATCH_STATISTICS = BatchStatistics()


class _NoInitialization(TorchFunctionMode):
    """Modules made inside have parameters of any value: drawing random ones takes longer than
    copying into them.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


class Supernet(nn.Module):
    """All subnets of `space` in one set of weights.

    `supernet(x, arch)` normalizes by the batch, as in training; `supernet(x, arch, stats)` uses the
    statistics that `labkit.supernet.evaluation.recalibrate` returned for that arch. There is no
    active subnet: two calls with two archs do not disturb each other. It is as wide as the largest
    width of the space; a narrower arch uses the first channels of every layer.

    With `only`, it holds the weights of that arch and no more, freshly drawn for its own sizes:
    what a subnet is when it trains alone.
    """

    def __init__(self, space: SearchSpace, only: Arch | None = None) -> None:
        super().__init__()
        self.space, self.only = space, only
        kernels = {}
        if only is None:
            kernels = {shape.name: space.stages[shape.stage].kernels for shape in space.blocks}
        self._channels: dict[float, dict[str, int]] = {}  # that leave each part, for each width
        for width in space.widths if only is None else (only.width,):
            largest = replace(space.largest(), width=width) if only is None else only
            parts = network.parts(network.operators(space, largest))
            self._channels[width] = {
                part: layers[-1].out_channels for part, layers in parts.items()
            }
        for part, members in parts.items():  # those of the largest width
            group, _, name = part.rpartition(".")
            if group and group not in self._modules:
                self.add_module(group, nn.ModuleDict())
            module = elastic_part(members, space, kernels.get(name))
            self.get_submodule(group).add_module(name, module)
        names = list(self._modules)
        self._stem = names[: names.index("blocks")]
        self._head = names[names.index("blocks") + 1 :]
        for name, module in self.named_modules():
            if isinstance(module, ElasticBatchNorm):
                module.name = name

    def forward(
        self,
        x: Tensor,
        arch: Arch,
        stats: Statistics | None = None,
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
        stats = BATCH_STATISTICS if stats is None else stats
        x = self.begin(x, stats, arch.width)  # (N, C, H, W)
        for s, blocks in enumerate(arch.stages):
            for i, block in enumerate(blocks):
                options = block_name(s, i), block, stats, arch.width
                if recompute:
                    x = checkpoint(self.run_block, x, *options, use_reentrant=False)
                else:
                    x = self.run_block(x, *options)
        return self.finish(x, stats, arch.width)

    def check(self, arch: Arch) -> None:
        """Raise ValueError unless the supernet holds the weights of `arch`.

        Without the check, a ratio above the largest would run as the largest.
        """
        if self.only is not None and arch != self.only:
            raise ValueError(f"this network holds one arch ({self.only}), not {arch}")
        self.space.validate(arch)

    def begin(self, x: Tensor, stats: Statistics, width: float) -> Tensor:
        """Images -> what enters the first elastic block: the part that all archs of a global choice
        share.
        """
        # Up to twice as fast on CPUs. `contiguous` would leave images of one channel as they are.
        return self._run(self._stem, x.to(memory_format=torch.channels_last), stats, width)

    def run_block(
        self, x: Tensor, name: str, block: Block, stats: Statistics, width: float
    ) -> Tensor:
        """What enters an elastic block -> what leaves it, with the arch's choice `block`."""
        return self.blocks[name](x, stats, self._channels[width][f"blocks.{name}"], block)

    def finish(self, x: Tensor, stats: Statistics, width: float) -> Tensor:
        """What leaves the last block -> logits (N, classes)."""
        return self._run(self._head, x, stats, width)

    def _run(self, parts: list[str], x: Tensor, stats: Statistics, width: float) -> Tensor:
        for name in parts:
            x = self._modules[name](x, stats, self._channels[width][name])
        return x

    def extract(self, arch: Arch, stats: BatchNormStats) -> Subnet:
        """The subnet `arch` as ordinary torch modules in eval mode, with copies of the weights,
        on the supernet's device and in its precision.

        Raises ValueError for an arch of another space, KeyError or ValueError for another arch's
        `stats`.
        """
        self.check(arch)
        with _NoInitialization():
            subnet = Subnet(self.space, arch).to(next(self.parameters()))
        self.copy_weights(subnet)
        for name, module in subnet.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                mean, variance = stats.of(name, module.num_features)
                module.running_mean.copy_(mean)
                module.running_var.copy_(variance)
        return subnet.eval()

    def weights_of_width(self, width: float) -> list[Tensor]:
        """Views of the part of each parameter that subnets of this width use."""
        with _NoInitialization():
            widest = Supernet(self.space, replace(self.space.largest(), width=width))
        # Kernel transforms, which it does not have, belong to all widths.
        shapes = {name: parameter.shape for name, parameter in widest.named_parameters()}
        return [
            parameter.data[tuple(map(slice, shapes.get(name, parameter.shape)))]
            for name, parameter in self.named_parameters()
        ]

    @torch.no_grad()
    def copy_weights(self, network: nn.Module) -> None:
        """Give `network` the weights that its arch has in this supernet.

        It is a `Subnet`, a `Supernet` of one arch, or another supernet of the same space.
        """
        elastic = dict(self.named_modules())
        for name, module in network.named_modules():
            for kind, parameter in module.named_parameters(recurse=False):
                if isinstance(elastic[name], ElasticDepthwise):
                    channels, _, _, kernel = parameter.shape
                    parameter.copy_(elastic[name].active(channels, kernel))
                else:
                    source = getattr(elastic[name], kind)
                    parameter.copy_(source[tuple(slice(n) for n in parameter.shape)])
