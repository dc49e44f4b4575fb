"""The subnet of each device under its budget, and the one that would serve them all.

A choice takes milliseconds, so that adding a device costs nothing but its latency table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.latency.devices import get_device
from labkit.search import InfeasibleBudget
from labkit.space import Arch
from labkit.specialize.subnet_search import Method, search_subnet
from labkit.specialize.targets import Request, Target
from labkit.supernet.accuracy_files import AccuracyModel

# Owner of the subnet that meets every device's budget; no device has spaces in its name.
ALL = "one for all"


@dataclass(frozen=True)
class Choice:
    """The subnet of device `owner`, or of all devices (`ALL`)."""

    owner: str
    arch: Arch
    predicted_accuracy: float  # percent


def choose_subnet(
    target: Target, model: AccuracyModel, *, method: Method = "exact", seed: int = 0
) -> Choice:
    """The best subnet of one target. Raises InfeasibleBudget, which names the device and the
    smallest achievable value.
    """
    space = target.costs.space
    result = search_subnet(space, model.predict, target.budgets(), method=method, seed=seed)
    return Choice(target.name, result.arch, result.accuracy)


def choose_subnets(
    targets: Sequence[Target], model: AccuracyModel
) -> tuple[list[Target], list[Choice]]:
    """Each target's best subnet, exactly; then the best that meets all their budgets, if there is
    one and it is not among them.

    Targets and choices are in the same order, the most accurate first: a subnet that is too slow
    for a device then stands above the device's, and one that is worse below. Raises
    InfeasibleBudget as `choose_subnet` does.
    """
    pairs = [(target, choose_subnet(target, model)) for target in targets]
    pairs.sort(key=lambda pair: -pair[1].predicted_accuracy)
    targets, choices = [target for target, _ in pairs], [choice for _, choice in pairs]
    space = targets[0].costs.space
    budgets = [budget for target in targets for budget in target.budgets()]
    try:
        common = search_subnet(space, model.predict, budgets, method="exact")
    except InfeasibleBudget:  # no network serves all of them
        return targets, choices
    if common.arch not in [choice.arch for choice in choices]:
        choices.append(Choice(ALL, common.arch, common.accuracy))
    return targets, choices


def require_distinct_devices(requests: Sequence[Request]) -> None:
    """Raise ValueError unless each device has one budget, and DeviceError for one unknown."""
    names = [get_device(request.device).name for request in requests]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(f"device {repeated[0]!r} is given twice; give each device one budget")
    if not names:
        raise ValueError("specializing takes a device, with its budget")
