"""A space as the explorer's page needs it: its choices, and tables over them as base64.

Where a device has no memory limit, the page searches its front itself. Where it has one, the front
is searched here, as the limits on several sums take the method of `labkit.search.exact`, and
because the planner of a microcontroller has the last word.

Shapes in trailing comments: P points, S stages, R global choices, C configurations of a stage.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from labkit.latency.devices import Device, HostDevice, board_title
from labkit.latency.measured.blocks import table_from_times, timed_blocks
from labkit.search import Budget, InfeasibleBudget, front
from labkit.space import SearchSpace
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import search_subnet
from labkit.supernet.accuracy_files import AccuracyModel
from labkit.tables.accuracy_link import accuracy_of
from labkit.tables.costs import BlockTable, activation_table, macs_table
from labkit.tables.separable import Separable, highest


def packed_space(space: SearchSpace, model: AccuracyModel, devices: Sequence[Device]) -> dict:
    """Everything that the page knows of a space, as JSON values.

    Raises ValueError for a predictor whose link the page does not know, InfeasibleBudget for a
    device whose memory holds no subnet.
    """
    return {
        "name": space.name,
        "sha256": space.digest,
        "size": str(space.size()),  # more than JavaScript's numbers hold
        "globals": space.global_choices,
        "stages": [
            {"depths": s.depths, "kernels": s.kernels, "expands": s.expands, "width": s.width}
            for s in space.stages
        ],
        "accuracy": _accuracy(space, model),
        "macs": _table(macs_table(space)),
        "values": _table(activation_table(space, 1)),
        "timed": _timed_blocks(space),
        "devices": [_device(space, model.predict, device) for device in devices],
    }


def _pack(array: np.ndarray, kind: str) -> str:
    return b64encode(np.ascontiguousarray(array, dtype=f"<{kind}").tobytes()).decode()


def _table(table: BlockTable) -> dict:
    return {"base": _pack(table.base, "f8"), "blocks": _pack(table.blocks, "f8")}


def _accuracy(space: SearchSpace, model: AccuracyModel) -> dict:
    links = {None: None, accuracy_of: "log error"}
    if model.predict.link not in links:
        raise ValueError(f"the page knows no predictor with the link {model.predict.link!r}")
    codes = map(space.valid_codes, range(len(space.stages)))
    terms = [model.predict.stage_values(s)[:, code] for s, code in enumerate(codes)]  # (R, C)
    return {
        "label": model.label,
        "rmse": model.rmse,
        "link": links[model.predict.link],
        "base": _pack(model.predict.base, "f8"),
        "terms": [_pack(values, "f4") for values in terms],
    }


def _timed_blocks(space: SearchSpace) -> dict:
    """The keys of latency files, and the number of each block's key in the order of tables."""
    numbers = {key: float(i) for i, key in enumerate(timed_blocks(space))}

    def without(kind: str) -> dict[str, float]:
        return {key: 0.0 if key.startswith(kind) else i for key, i in numbers.items()}

    blocks = table_from_times(space, numbers).blocks
    return {
        "keys": list(numbers),
        "stems": _pack(table_from_times(space, without("head")).base, "i4"),
        "heads": _pack(table_from_times(space, without("stem")).base, "i4"),
        "blocks": _pack(np.nan_to_num(blocks, nan=-1), "i4"),
    }


def _device(space: SearchSpace, predict: Separable, device: Device) -> dict:
    costs = DeviceCosts(space, device)
    title = device.title
    if isinstance(device, HostDevice):  # who opens the page sits before another machine
        title = board_title(device.latency_file(space))
    return {
        "name": device.name,
        "title": title,
        "kind": device.kind,
        "label": device.label,
        "bytesPerValue": device.bytes_per_value,
        "sramBytes": device.sram_bytes,
        "latency": _table(costs.latency_ms),
        "front": _fitting_front(costs, predict) if costs.budgets() else None,
    }


def _fitting_front(costs: DeviceCosts, predict: Separable) -> dict[str, str]:
    genes = fitting_front(costs, predict)
    archs, codes = costs.space.decode(genes), costs.space.stage_codes(genes)
    configs = [
        np.searchsorted(costs.space.valid_codes(s), codes[:, s]) for s in range(codes.shape[1])
    ]
    return {
        "subnets": _pack(np.column_stack([genes[:, 0], *configs]), "i4"),  # (P, 1 + S)
        "memory": _pack([costs.planned_sram_bytes(arch) for arch in archs], "i4"),  # (P,)
    }


def fitting_front(costs: DeviceCosts, predict: Separable) -> np.ndarray:
    """Genes (P, G) of the exact front of accuracy and latency of the subnets that the device's
    memory holds, by ascending latency.

    Where the planner does not find room for a subnet on the front of what memory should hold by its
    tables, the subnets that come instead are searched between its neighbors.
    """
    space, budgets = costs.space, costs.budgets()
    points = front(space, predict, costs.latency_ms, budgets)
    fitting = np.flatnonzero(costs.fits(space.decode(points.genes)))
    rows = []
    for below, above in pairwise([-1, *fitting, len(points)]):
        if below >= 0:
            rows.append(points.genes[below])
        replaced = []
        limit_ms = points.cost[above] if above < len(points) else 2 * highest(costs.latency_ms)
        while above - below > 1:
            limit = Budget(costs.latency_ms, np.nextafter(limit_ms, -np.inf), "latency", "ms")
            try:
                result = search_subnet(space, predict, [*budgets, limit], method="exact")
            except InfeasibleBudget:
                break
            limit_ms = float(costs.latency_ms(result.genes[None])[0])
            if below >= 0 and limit_ms <= points.cost[below]:
                break
            replaced.append(result.genes)
        rows += replaced[::-1]
    return np.array(rows)
