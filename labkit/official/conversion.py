"""Official state dicts as weights of our supernets, and back: a conversion is a renaming.

Official batch norms also carry running statistics, as wide as the widest block; here those are a
`BatchNormStats` of their own, because statistics belong to an arch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from labkit.official.layer_names import (
    OFFICIAL_CLASSES,
    norm_names,
    parameter_names,
    release_independent,
)
from labkit.space import Arch, SearchSpace
from labkit.storage.errors import LabError
from labkit.supernet.batch_norm import BatchNormStats
from labkit.supernet.subnet import Subnet
from labkit.supernet.supernet import Supernet


class StateDictError(LabError):
    """A state dict does not fit a space; the message counts and names the keys."""


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
    tensors = _checked_tensors(space, state)
    weights = {
        name: tensors[official_name].float()
        for name, official_name in parameter_names(space).items()
    }
    statistics = {}
    for name, norm in norm_names(space).items():
        mean, variance = tensors[f"{norm}.running_mean"], tensors[f"{norm}.running_var"]
        statistics[name] = (mean.float(), variance.float())
    return weights, BatchNormStats(statistics)


def _checked_tensors(space: SearchSpace, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `state` by the names of today's release; raises StateDictError."""
    shapes = _expected_shapes(space)
    names = {release_independent(name): name for name in shapes}
    tensors: dict[str, object] = {}
    for key, value in state.items():
        plain = release_independent(key)
        if plain.endswith(".num_batches_tracked"):
            continue  # it counts training steps, nothing is computed from it
        name = names.get(plain, plain)
        if name in tensors:
            raise StateDictError(f"two keys of the state dict mean {name!r}, one is {key!r}")
        tensors[name] = value
    misshapen = [
        f"{name} is {_description(tensors[name])}, want {tuple(shape)}"
        for name, shape in shapes.items()
        if name in tensors and not _fits(tensors[name], shape)
    ]
    problems = {
        "missing": [name for name in shapes if name not in tensors],
        "not part of this network": [name for name in tensors if name not in shapes],
        "of another shape": misshapen,
    }
    texts = [f"{len(n)} {what} ({_first_of(n)})" for what, n in problems.items() if n]
    if texts:
        raise StateDictError(
            f"the state dict does not fit {space.name!r} ({OFFICIAL_CLASSES[space.name]}): "
            + "; ".join(texts)
        )
    return tensors


def _expected_shapes(space: SearchSpace) -> dict[str, torch.Size]:
    """Official name -> shape of each parameter and of each running statistic."""
    with torch.device("meta"):
        weights = Supernet(space).state_dict()
    shapes = {official: weights[name].shape for name, official in parameter_names(space).items()}
    for name, norm in norm_names(space).items():
        for statistic in ("running_mean", "running_var"):
            shapes[f"{norm}.{statistic}"] = weights[f"{name}.weight"].shape
    return shapes


def _fits(value: object, shape: torch.Size) -> bool:
    return isinstance(value, Tensor) and value.shape == shape and value.is_floating_point()


def _description(value: object) -> str:
    is_tensor = isinstance(value, Tensor)
    return f"{value.dtype} {tuple(value.shape)}" if is_tensor else type(value).__name__


def _first_of(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def to_official(
    space: SearchSpace, weights: Mapping[str, Tensor], running: BatchNormStats
) -> dict[str, Tensor]:
    """The state dict that the official class of `space` takes in `load_state_dict`.

    `weights` is `supernet.state_dict()`; `running` has the full widths, as `load` returned it.
    """
    names = parameter_names(space)
    state = {official: weights[name].detach().clone() for name, official in names.items()}
    for name, norm in norm_names(space).items():
        mean, variance = running[name]
        channels = len(weights[f"{name}.weight"])
        if len(mean) != channels:
            raise ValueError(
                f"running statistics of {name!r} have {len(mean)} channels, the supernet"
                f" {channels}; statistics of one arch fill only its own subnet"
            )
        state[f"{norm}.running_mean"] = mean.clone()
        state[f"{norm}.running_var"] = variance.clone()
        state[f"{norm}.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    return state


def export(supernet: Supernet, running: BatchNormStats | None = None) -> dict[str, Tensor]:
    """`supernet` in the official layout.

    Without `running` its statistics are those of a batch norm that has seen nothing: 0 and 1.
    """
    weights = supernet.state_dict()
    if running is None:
        biases = {name: weights[f"{name}.bias"] for name in norm_names(supernet.space)}
        running = BatchNormStats(
            {name: (torch.zeros_like(b), torch.ones_like(b)) for name, b in biases.items()}
        )
    return to_official(supernet.space, weights, running)


def stats_for(space: SearchSpace, arch: Arch, running: BatchNormStats) -> BatchNormStats:
    """The first channels of full-width statistics: what an official supernet computes with in eval
    mode.

    Only as good as the weights that were trained with them: for accuracy, recalibrate.
    """
    with torch.device("meta"):
        modules = dict(Subnet(space, arch).named_modules())
    norms = {name: norm for name, norm in modules.items() if isinstance(norm, nn.BatchNorm2d)}
    return BatchNormStats(
        {
            name: tuple(statistic[: norm.num_features] for statistic in running[name])
            for name, norm in norms.items()
        }
    )
