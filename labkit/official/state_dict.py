"""The official Once-for-All package: its weights and archs in our form, and ours in its form.

`OFAMobileNetV3` and `OFAProxylessNASNets` of the PyPI package `ofa` are the spaces `ofa-mbv3`,
`ofa-mbv3-w1.2` and `ofa-proxyless-w1.3`: the same layers under other names, so that a state dict
converts by renaming. Their batch norms also carry running statistics, as wide as the widest block;
here those are a `BatchNormStats` of their own, because statistics belong to an arch.

Their arch is a dict {"ks": kernel sizes, "e": expand ratios, "d": depths, "r": [resolution]}. The
lists of blocks always have the full length; entries of blocks that are not there mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from labkit.space import Arch, Block, SearchSpace, block_name
from labkit.storage.errors import LabError
from labkit.supernet.batch_norm import BatchNormStats
from labkit.supernet.subnet import Subnet
from labkit.supernet.supernet import Supernet

OFFICIAL_CLASSES = {
    "ofa-mbv3": "OFAMobileNetV3, width 1.0",
    "ofa-mbv3-w1.2": "OFAMobileNetV3, width 1.2",
    "ofa-proxyless-w1.3": "OFAProxylessNASNets, width 1.3",
}
PARTS = {"expand": "inverted_bottleneck", "depthwise": "depth_conv", "project": "point_linear"}


class StateDictError(LabError):
    """A state dict does not fit a space; the message counts and names the keys."""


# ---- weights ---------------------------------------------------------------------------------------


def load(supernet: Supernet, state: Mapping[str, Tensor]) -> BatchNormStats:
    """Copy an official state dict into `supernet`; return its running statistics, full width.

    `stats_for` cuts those down to an arch; `labkit.supernet.evaluation.recalibrate` makes better
    ones. Raises StateDictError, before anything is copied, for keys that are missing, unknown or
    misshapen.
    """
    weights, running = from_official(supernet.space, state)
    supernet.load_state_dict(weights)
    return running


def from_official(
    space: SearchSpace, state: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], BatchNormStats]:
    """The weights under our names, and the running statistics, of an official state dict.

    Accepts what the official loader accepts: older releases call a block's layers
    `mobile_inverted_conv` instead of `conv`, and differ in how deep convolutions are nested.
    """
    expected = dict(_expected_shapes(space))
    readable = {_flat(name): name for name in expected}
    given: dict[str, Tensor] = {}
    for key, value in state.items():
        flat = _flat(key)
        if flat in given:
            raise StateDictError(
                f"two keys of the state dict mean {readable.get(flat, flat)!r}, one is {key!r}"
            )
        if not flat.endswith(
            ".num_batches_tracked"
        ):  # counts training steps, nothing is computed from it
            given[flat] = value
    problems = [
        _problem("missing", [readable[flat] for flat in readable if flat not in given]),
        _problem("not part of this network", [flat for flat in given if flat not in readable]),
        _problem(
            "of another shape",
            [
                f"{name} is {_describe(given[flat])}, want {tuple(expected[name])}"
                for flat, name in readable.items()
                if flat in given and not _fits(given[flat], expected[name])
            ],
        ),
    ]
    if any(problems):
        raise StateDictError(
            f"the state dict does not fit {space.name!r} ({OFFICIAL_CLASSES[space.name]}): "
            + "; ".join(filter(None, problems))
        )
    weights = {
        ours: given[_flat(theirs)].float() for ours, theirs in parameter_names(space).items()
    }
    running = BatchNormStats(
        {
            ours: (
                given[_flat(f"{theirs}.running_mean")].float(),
                given[_flat(f"{theirs}.running_var")].float(),
            )
            for ours, theirs in norm_names(space).items()
        }
    )
    return weights, running


def to_official(
    space: SearchSpace, weights: Mapping[str, Tensor], running: BatchNormStats
) -> dict[str, Tensor]:
    """The state dict that `OFAMobileNetV3.load_state_dict` or `OFAProxylessNASNets.load_state_dict`
    takes.

    `weights` is `supernet.state_dict()`; `running` has the full widths, as `load` returned it.
    """
    state = {
        theirs: weights[ours].detach().clone() for ours, theirs in parameter_names(space).items()
    }
    for ours, theirs in norm_names(space).items():
        mean, variance = running[ours]
        if len(mean) != len(weights[f"{ours}.weight"]):
            raise ValueError(
                f"running statistics of {ours!r} have {len(mean)} channels, the supernet "
                f"{len(weights[f'{ours}.weight'])}; statistics of one arch fill only its own subnet"
            )
        state[f"{theirs}.running_mean"], state[f"{theirs}.running_var"] = (
            mean.clone(),
            variance.clone(),
        )
        state[f"{theirs}.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    return state


def export(supernet: Supernet, running: BatchNormStats | None = None) -> dict[str, Tensor]:
    """`supernet` in the official layout; without `running` its statistics are those of a fresh
    batch norm.
    """
    weights = supernet.state_dict()
    if running is None:
        running = BatchNormStats(
            {
                ours: (
                    torch.zeros_like(weights[f"{ours}.bias"]),
                    torch.ones_like(weights[f"{ours}.bias"]),
                )
                for ours in norm_names(supernet.space)
            }
        )
    return to_official(supernet.space, weights, running)


def stats_for(space: SearchSpace, arch: Arch, running: BatchNormStats) -> BatchNormStats:
    """The first channels of full-width statistics: what an official supernet computes with in eval
    mode.

    Only as good as the weights that were trained with them: for accuracy, recalibrate.
    """
    with torch.device("meta"):
        modules = dict(Subnet(space, arch).named_modules())
    return BatchNormStats(
        {
            name: (running[name][0][: norm.num_features], running[name][1][: norm.num_features])
            for name, norm in modules.items()
            if isinstance(norm, nn.BatchNorm2d)
        }
    )


# ---- names -----------------------------------------------------------------------------------------


def _conv_norms(space: SearchSpace) -> Iterator[tuple[str, str, str]]:
    """(ours, their convolution, their batch norm) for each convolution that has a batch norm."""
    if space.name not in OFFICIAL_CLASSES:
        raise ValueError(
            f"space {space.name!r} has no official counterpart; those with one: "
            f"{', '.join(OFFICIAL_CLASSES)}"
        )
    yield "stem", "first_conv.conv", "first_conv.bn"
    for part in ("depthwise", "project"):
        yield (
            f"first.{part}",
            f"blocks.0.conv.{PARTS[part]}.conv",
            f"blocks.0.conv.{PARTS[part]}.bn",
        )
    for n, shape in enumerate(space.blocks, 1):
        for part, theirs in PARTS.items():
            yield (
                f"blocks.{block_name(shape.stage, shape.index)}.{part}",
                f"blocks.{n}.conv.{theirs}.conv.conv",
                f"blocks.{n}.conv.{theirs}.bn.bn",
            )
    # What comes before pooling is called feature mix where nothing follows it but the classifier.
    last = "final_expand_layer" if space.feature_width else "feature_mix_layer"
    yield "final", f"{last}.conv", f"{last}.bn"


def norm_names(space: SearchSpace) -> dict[str, str]:
    """Our name -> theirs for each batch norm."""
    return {f"{ours}.1": norm for ours, _, norm in _conv_norms(space)}


def parameter_names(space: SearchSpace) -> dict[str, str]:
    """Our name -> theirs for each parameter."""
    names = {}
    for ours, conv, norm in _conv_norms(space):
        names[f"{ours}.0.weight"] = f"{conv}.weight"
        names[f"{ours}.1.weight"], names[f"{ours}.1.bias"] = f"{norm}.weight", f"{norm}.bias"
    for n, shape in enumerate(space.blocks, 1):
        stage, ours = space.stages[shape.stage], f"blocks.{block_name(shape.stage, shape.index)}"
        for small, large in zip(stage.kernels, stage.kernels[1:]):
            names[f"{ours}.depthwise.0.transforms.{large}to{small}"] = (
                f"blocks.{n}.conv.depth_conv.conv.{large}to{small}_matrix"
            )
        for layer, theirs in (("fc1", "reduce"), ("fc2", "expand")) if stage.se else ():
            for kind in ("weight", "bias"):
                names[f"{ours}.se.{layer}.{kind}"] = (
                    f"blocks.{n}.conv.depth_conv.se.fc.{theirs}.{kind}"
                )
    if space.feature_width:
        names["feature.0.weight"] = "feature_mix_layer.conv.weight"
    return {
        **names,
        "classifier.weight": "classifier.linear.weight",
        "classifier.bias": "classifier.linear.bias",
    }


def _flat(key: str) -> str:
    """A key without what differs between releases: wrapping, the block's attribute, nesting."""
    key = key.removeprefix("module.").replace(".mobile_inverted_conv.", ".conv.")
    return re.sub(r"\b(conv|bn|linear)\.\1\.", r"\1.", key)


def _expected_shapes(space: SearchSpace) -> Iterator[tuple[str, torch.Size]]:
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Supernet(space).state_dict().items()}
    for ours, theirs in parameter_names(space).items():
        yield theirs, shapes[ours]
    for ours, theirs in norm_names(space).items():
        for statistic in ("running_mean", "running_var"):
            yield f"{theirs}.{statistic}", shapes[f"{ours}.weight"]


def _fits(value: object, shape: torch.Size) -> bool:
    return isinstance(value, Tensor) and value.shape == shape and value.is_floating_point()


def _describe(value: object) -> str:
    return (
        f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    )


def _problem(what: str, names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {what} ({shown})" if names else ""


# ---- archs -----------------------------------------------------------------------------------------


def arch_to_official(space: SearchSpace, arch: Arch) -> dict[str, list[int]]:
    """{"ks", "e", "d", "r"} for `set_active_subnet`; 0 for blocks that are not there, as their
    encoders write.
    """
    space.validate(arch)
    kernels, expands = [], []
    for blocks, stage in zip(arch.stages, space.stages):
        for kernel, expand in (*blocks, *[Block(0, 0)] * (stage.max_depth - len(blocks))):
            kernels.append(kernel)
            expands.append(expand)
    return {"ks": kernels, "e": expands, "d": list(arch.depths), "r": [arch.resolution]}


def arch_from_official(space: SearchSpace, config: Mapping) -> Arch:
    """The arch that `set_active_subnet(**config)` makes active.

    As there, one number stands for a whole list, a depth larger than the stage's is cut to it, and
    entries of absent blocks are ignored. The resolution is `r` (a number or a list of one) or
    `image_size`. Raises ValueError for a list of another length or a choice that the space has not.
    """
    values = {key: _integers(key, config.get(key)) for key in ("ks", "e", "d")}
    for key, count in (
        ("ks", len(space.blocks)),
        ("e", len(space.blocks)),
        ("d", len(space.stages)),
    ):
        if len(values[key]) == 1:
            values[key] *= count
        if len(values[key]) != count:
            raise ValueError(
                f"{key!r} has {len(values[key])} entries, {space.name!r} wants {count}: one for"
                f" each {'stage' if key == 'd' else 'block, those that are not there included'}"
            )
    resolution = _integers("r", config.get("r", config.get("image_size")))
    if len(resolution) != 1:
        raise ValueError(f"'r' must be one resolution, got {resolution}")
    stages, start = [], 0
    for stage, depth in zip(space.stages, values["d"]):
        end = start + max(0, min(depth, stage.max_depth))
        stages.append(tuple(map(Block, values["ks"][start:end], values["e"][start:end])))
        start += stage.max_depth
    arch = Arch(resolution[0], tuple(stages))
    space.validate(arch)
    return arch


def _integers(key: str, value: object) -> list[int]:
    values = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    try:
        if any(isinstance(v, bool) or int(v) != v for v in values):
            raise ValueError
        return [int(v) for v in values]
    except (TypeError, ValueError, OverflowError):  # the last is what infinity raises
        raise ValueError(
            f"{key!r} must be an integer or a list of them, got {value!r}; an official arch looks"
            ' like {"ks": [...], "e": [...], "d": [...], "r": [224]}'
        ) from None
