"""A supernet that runs all its archs at once, and what a distribution over archs costs.

Each choice (a column of the gene matrix) has a vector of probabilities; together they are a
distribution over archs, every choice independent. `mixed_forward` replaces each choice by the mean
of its alternatives, so that the loss has a gradient over the probabilities, as in FBNet (arXiv
1812.03443). All alternatives of a block share its weights, so they need not run one by one:

* kernel size: a convolution is linear in its kernel, so the weighted sum of the outputs is one
  convolution with the weighted sum of the kernels;
* expand ratio: a narrower block uses the first channels, so each channel is multiplied by the
  probability that it is there (the masks of FBNetV2, arXiv 2004.05565);
* depth: the mean of what leaves the stage after each depth.

A mixture costs as much as the largest arch, at each resolution. Where every probability is 0 or 1
it is that arch exactly.

Shapes in trailing comments: N images, C channels, G genes, R resolutions, K kernel sizes, E expand
ratios.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.data.datasets import resize
from labkit.space import SearchSpace, block_name, mid_channels, se_channels
from labkit.supernet.depthwise import depthwise_conv
from labkit.supernet.elastic import ElasticBlock, ElasticDepthwise, ElasticSqueezeExcite
from labkit.supernet.supernet import BATCH_STATISTICS, Supernet
from labkit.tables.costs import AdditiveTable
from labkit.tables.separable import StageTable

# One vector for each gene, in the order of the gene matrix's columns.
Probabilities = Sequence[Tensor]


def mixed_forward(supernet: Supernet, x: Tensor, probabilities: Probabilities) -> Tensor:
    """Logits (N, classes) of the mixture on images (N, C, r, r) of one resolution.

    Batch norm uses the batch's statistics, as in training. The probabilities of the resolutions
    play no part. Raises ValueError for a space of several widths, whose archs it cannot mix.
    """
    space = supernet.space
    require_one_width(space)
    (width,) = space.widths
    x, b = supernet.begin(x, BATCH_STATISTICS, width), 0
    for s, stage in enumerate(space.stages):
        depth, outputs = probabilities[space.depth_columns[s]], []
        for i in range(stage.max_depth):
            column = space.kernel_columns[b]
            x = _mixed_block(
                supernet.blocks[block_name(s, i)],
                x,
                stage.kernels,
                probabilities[column],
                stage.expands,
                probabilities[column + 1],
            )
            if i + 1 in stage.depths:
                outputs.append(x)
            b += 1
        x = sum(p * y for p, y in zip(depth, outputs))
    return supernet.finish(x, BATCH_STATISTICS, width)


def require_one_width(space: SearchSpace) -> None:
    """Raise ValueError for a space whose archs differ in their width multiplier."""
    if len(space.widths) > 1:
        raise ValueError(
            f"archs of space {space.name!r} have one of the widths {space.widths}, and a mixture"
            " has one width; search with evolution or exactly, or take space.at(width)"
        )


def _mixed_block(
    block: ElasticBlock,
    x: Tensor,
    kernels: tuple[int, ...],
    kernel: Tensor,
    expands: tuple[int, ...],
    expand: Tensor,
) -> Tensor:
    y = x if block.expand is None else block.expand(x, BATCH_STATISTICS)  # all channels
    depthwise, norm = block.depthwise.get_submodule("0"), block.depthwise.get_submodule("1")
    y = depthwise_conv(y, mixed_kernel(depthwise, kernels, kernel), depthwise.stride)
    y = block.depthwise.act(norm(y, BATCH_STATISTICS))
    widths = [mid_channels(x.shape[1], e, block.divisor) for e in expands]
    y = y * _present(widths, expand)
    if block.se is not None:
        y = _mixed_squeeze_excite(block.se, y, widths, expand)
    y = block.project(y, BATCH_STATISTICS)
    return x + y if block.has_shortcut else y


def mixed_kernel(
    depthwise: ElasticDepthwise, kernels: tuple[int, ...], probability: Tensor
) -> Tensor:
    """(C, 1, K, K): the weighted sum of the kernels, each padded to the size of the largest."""
    return sum(
        p * F.pad(depthwise.active(len(depthwise.weight), k), ((kernels[-1] - k) // 2,) * 4)
        for p, k in zip(probability, kernels)
    )


def _present(widths: list[int], probability: Tensor) -> Tensor:
    """(1, C, 1, 1): for each channel the probability of a width that includes it."""
    masks = torch.arange(widths[-1]) < torch.tensor(widths)[:, None]  # (E, C)
    return (probability @ masks.to(probability)).view(1, -1, 1, 1)


def _mixed_squeeze_excite(
    se: ElasticSqueezeExcite, y: Tensor, widths: list[int], expand: Tensor
) -> Tensor:
    scale = F.adaptive_avg_pool2d(y, 1)
    scale = F.relu(se.fc1(scale)) * _present([se_channels(w) for w in widths], expand)
    return y * F.hardsigmoid(se.fc2(scale))


def mixture_loss(
    supernet: Supernet, images: Tensor, labels: Tensor, resolution: Tensor, choices: Probabilities
) -> Tensor:
    """Mean cross entropy over the resolutions, weighted by their probabilities `resolution` (R,).

    Images at different resolutions cannot be mixed in one forward pass, so each has its own.
    """
    loss = 0
    for probability, side in zip(resolution, supernet.space.resolutions):
        logits = mixed_forward(supernet, resize(images, side), choices)
        loss = loss + probability * F.cross_entropy(logits, labels)
    return loss


def relaxed(logits: list[Tensor], temperature: float, generator: torch.Generator) -> list[Tensor]:
    """A draw from the Gumbel softmax for each vector of logits, differentiable over the logits.

    At a low temperature it is nearly one-hot.
    """
    choices = []
    for logit in logits:
        uniform = torch.rand(logit.shape, generator=generator).clamp_min(1e-20)
        gumbel = -(-uniform.log()).log()
        choices.append(F.softmax((logit + gumbel.to(logit)) / temperature, 0))
    return choices


def expected_cost(table: AdditiveTable, probabilities: Probabilities) -> Tensor:
    """Mean cost of archs drawn from `probabilities`, differentiable over them.

    As in ProxylessNAS (arXiv 1812.00332, eq. 5). It is exact: choices are independent, and a
    block's cost counts with the probability that its stage is that deep.
    """
    space = table.space
    like = probabilities[0]
    total = torch.as_tensor(table.base, dtype=like.dtype, device=like.device)  # (R,)
    for b, (shape, column) in enumerate(zip(space.blocks, space.kernel_columns)):
        kernel, expand = probabilities[column], probabilities[column + 1]
        costs = torch.as_tensor(
            table.blocks[:, b, : len(kernel), : len(expand)], dtype=like.dtype, device=like.device
        )
        depths = space.stages[shape.stage].depths
        shallowest = next(i for i, depth in enumerate(depths) if depth > shape.index)
        depth_probabilities = probabilities[space.depth_columns[shape.stage]]
        present = depth_probabilities[shallowest:].sum()
        total = total + present * torch.einsum("rke,k,e->r", costs, kernel, expand)
    return probabilities[0] @ total


def log_probability(space: SearchSpace, probabilities: Probabilities) -> StageTable:
    """Natural logarithm of each arch's probability, as a table that exact search can maximize."""
    # A probability that has underflown to zero still has to be a finite entry of the table.
    logs = [np.log(np.maximum(p.detach().double().cpu().numpy(), 1e-300)) for p in probabilities]
    stages = []
    for s, column in enumerate(space.depth_columns):
        configs = space.stage_configs(s)
        depth = np.array(space.stages[s].depths)[configs[:, 0]]
        values = logs[column][configs[:, 0]]
        for i in range(space.stages[s].max_depth):
            genes = (column + 1 + 2 * i, column + 2 + 2 * i)
            values = values + np.where(
                i < depth, sum(logs[g][configs[:, g - column]] for g in genes), 0.0
            )
        table = np.zeros((len(space.resolutions), space.stage_sizes[s]))
        table[:, space.valid_codes(s)] = values
        stages.append(table)
    return StageTable(space, logs[0], stages)
