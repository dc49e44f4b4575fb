"""Every subnet on every device: why one network for all is too slow somewhere, or worse somewhere.

Each device's subnet is exported, verified and measured as it would be deployed. On another device
it is too slow, does not fit into memory, or gives accuracy away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from labkit.latency.devices import HOST
from labkit.space import SearchSpace
from labkit.specialize.choices import (
    ALL,
    Choice,
    choose_subnets,
    require_distinct_devices,
)
from labkit.specialize.deployed_models import SPLIT, Deployed, deploy_all, remove_stale
from labkit.specialize.standard_error import paired_difference, standard_error
from labkit.specialize.targets import Request, Target, targets
from labkit.storage.atomic_write import write_json
from labkit.storage.provenance import code_revision
from labkit.supernet.accuracy_files import AccuracyModel
from labkit.supernet.folder import TrainedSupernet

SCHEMA = 1
DEFAULT_REQUESTS = ("pixel1:5", "host:40%", "stm32h743:12", "mcu-64k:80", "mcu-20k:100")
NOISE = 0.05  # share by which a latency that was measured end to end may exceed its budget
SLOWDOWN = 0.1  # share by which this machine may differ from its table without a remark


@dataclass(frozen=True, eq=False)
class DeploymentMatrix:
    """Subnets (rows, S) on devices (columns, D)."""

    space: SearchSpace
    targets: Sequence[Target]
    choices: Sequence[Choice]
    latency_ms: np.ndarray  # (S, D)
    accuracy: np.ndarray  # (S, D) top-1 in percent, in the precision of the device
    fits: np.ndarray  # (S, D) whether SRAM and flash hold it
    latency_is: Sequence[str]  # (D,) measured, simulated, ...
    accuracy_is: str
    tolerance: np.ndarray  # (D,) share of the budget by which a measured latency may exceed it
    deployed: Deployed | None = None  # None where nothing was deployed
    # (S, D) standard errors of `accuracy` and, on the same images, of `loss`; None where accuracies
    # are predicted
    accuracy_error: np.ndarray | None = None
    loss_error: np.ndarray | None = None

    @property
    def over_budget(self) -> np.ndarray:
        """(S, D) latency over the device's budget: above 1 is too slow."""
        return self.latency_ms / np.array([target.budget_ms for target in self.targets])

    @property
    def loss(self) -> np.ndarray:
        """(S, D) points of accuracy below the device's own subnet on that device; negative is
        above.
        """
        return np.diag(self.accuracy) - self.accuracy

    @property
    def too_slow(self) -> np.ndarray:
        return self.over_budget > 1 + self.tolerance

    def is_owner(self, s: int, d: int) -> bool:
        """Whether subnet `s` was chosen for device `d`."""
        return self.choices[s].owner == self.targets[d].name

    def serves_all(self, s: int) -> bool:
        """Whether subnet `s` meets all limits and is on each device as good as the device's own."""
        return not (self.too_slow[s] | ~self.fits[s]).any() and bool(self.loss[s].max() < 0.05)

    def verdict(self, s: int) -> str:
        """What would come of subnet `s` as the one network for all devices."""
        fails = self.too_slow[s] | ~self.fits[s]
        worst = max(self.loss[s][~fails], default=0.0)
        worse = f"up to {worst:.1f} points worse" if worst >= 0.05 else ""
        if fails.any():
            losses = f", elsewhere {worse}" if worse else ""
            return f"fails on {fails.sum()} of {len(fails)}{losses}"
        return f"fits everywhere, {worse or 'as good as their own'}"

    def slowdown(self) -> float:
        """How much longer this machine takes now than when its table was measured; 1.0 if it is not
        a column.
        """
        genes = self.space.encode([choice.arch for choice in self.choices])
        ratios = [
            np.median(self.latency_ms[:, d] / target.costs.latency_ms(genes))
            for d, target in enumerate(self.targets)
            if target.name == HOST
        ]
        return float(ratios[0]) if ratios else 1.0

    def file_of(self, s: int) -> str | None:
        """Name of the file or folder that the device of subnet `s` takes, if it was deployed."""
        model = self.deployed and self.deployed.files[s]
        if not model:
            return None
        device = self.targets[self._column_of(s)].costs.device
        int8 = device.precision == "int8" and getattr(model, "int8_path", None)
        return Path(int8 or model.path).name

    def _column_of(self, s: int) -> int:
        """The column of the device that subnet `s`, not that of all, was chosen for."""
        return next(d for d in range(len(self.targets)) if self.is_owner(s, d))

    def to_json(self) -> dict:
        devices = [
            {
                "name": target.name,
                "title": target.costs.device.title,
                "latency_is": latency_is,
                "budget_ms": target.budget_ms,
                "precision": target.costs.device.precision,
            }
            for target, latency_is in zip(self.targets, self.latency_is)
        ]
        models = self.deployed.files if self.deployed else [None] * len(self.choices)
        subnets = [
            {
                "for": choice.owner,
                "arch": choice.arch.to_json(),
                "predicted_accuracy": choice.predicted_accuracy,
                "verdict": self.verdict(s),
                "model": self.file_of(s),
                "memory_bytes": model and model.memory_bytes,
                "storage_bytes": model and model.storage_bytes,
            }
            for s, (choice, model) in enumerate(zip(self.choices, models))
        ]
        cells = {
            name: getattr(self, name).tolist()
            for name in ("latency_ms", "over_budget", "accuracy", "loss", "fits", "too_slow")
        }
        errors = {
            name: error.tolist()
            for name in ("accuracy_error", "loss_error")
            if (error := getattr(self, name)) is not None
        }
        return {
            "schema": SCHEMA,
            "what": "specialization",
            "space": self.space.name,
            "date": date.today().isoformat(),
            "revision": code_revision(),
            "accuracy_is": self.accuracy_is,
            "devices": devices,
            "subnets": subnets,
            **cells,
            **errors,
        }

    def text(self) -> str:
        """The matrix for a terminal."""
        width = max(18, *(len(target.name) + 2 for target in self.targets))
        margin = max(16, *(len(choice.owner) + 4 for choice in self.choices))
        names = "".join(f"{target.name:>{width}}" for target in self.targets)
        budgets = "".join(f"{f'{target.budget_ms:.4g} ms':>{width}}" for target in self.targets)
        lines = [f"{'':<{margin}}{names}", f"{'budget':<{margin}}{budgets}"]
        for s, choice in enumerate(self.choices):
            name = choice.owner if choice.owner == ALL else f"of {choice.owner}"
            cells = "".join(self._cell(s, d, width) for d in range(len(self.targets)))
            lines.append(f"{name:<{margin}}{cells}  {self.verdict(s)}")
        sources = "; ".join(
            f"{target.name} {latency_is}"
            for target, latency_is in zip(self.targets, self.latency_is)
        )
        lines += [
            "",
            "Each cell: latency over the device's budget, and top-1 accuracy"
            f" ({self.accuracy_is}).",
            *self._error_text(),
            *self._file_text(),
            f"Latencies: {sources}.",
        ]
        if abs(self.slowdown() - 1) > SLOWDOWN:
            lines.append(
                f"This machine takes {self.slowdown():.2f} times as long as when its table was"
                " measured; if it is idle now, measure the table again: labkit lut measure"
            )
        return "\n".join(lines)

    def _file_text(self) -> list[str]:
        """A line for each deployed model: its accuracy, memory and size; then remarks."""
        if self.deployed is None:
            return []
        lines = []
        for s, model in enumerate(self.deployed.files):
            if model is not None:
                accuracy = self.accuracy[s, self._column_of(s)]
                memory = model.memory_bytes and f"{model.memory_bytes / 1000:.1f} kB of memory, "
                lines.append(
                    f"{self.file_of(s)}: {accuracy:.2f} %, {memory or ''}"
                    f"{model.storage_bytes / 1000:.1f} kB stored"
                )
        return [*lines, *self.deployed.remarks]

    def _error_text(self) -> list[str]:
        """A line on standard errors; none where accuracies are predicted."""
        if self.accuracy_error is None:
            return []
        return [
            f"One standard error of an accuracy is up to {self.accuracy_error.max():.2f} points,"
            f" of a difference on one device up to {self.loss_error.max():.2f}."
        ]

    def _cell(self, s: int, d: int, width: int) -> str:
        mark = "own" if self.is_owner(s, d) else ""
        if not self.fits[s, d]:
            mark = "BIG"
        elif self.too_slow[s, d]:
            mark = "SLOW"
        return f"{mark:>{width - 13}}{self.over_budget[s, d]:5.2f}x{self.accuracy[s, d]:6.2f}%"


def specialize(
    trained: TrainedSupernet,
    requests: Sequence[Request],
    out: Path,
    *,
    seed: int = 0,
    progress: bool = True,
) -> DeploymentMatrix:
    """Choose, deploy and measure a subnet for each device; write specialize.json and models to
    `out`.

    In a space without a trained supernet nothing can be deployed, and accuracies are predicted.
    Models of an earlier run that are called like a device of this one, and are not its own, are
    removed from `out`.
    """
    require_distinct_devices(requests)
    model = trained.predictor.on(SPLIT)
    ordered, choices = choose_subnets(targets(model.space, requests, seed), model)
    deployed = None
    if trained.is_trained:
        deployed = deploy_all(trained, ordered, choices, out, progress=progress)
    matrix = build_matrix(model, ordered, choices, deployed)
    files = deployed.files if deployed else ()
    remove_stale(out, [ALL, *(target.name for target in ordered)], files)
    write_json(out / "specialize.json", {**matrix.to_json(), "seed": seed})
    return matrix


def build_matrix(
    model: AccuracyModel,
    targets: Sequence[Target],
    choices: Sequence[Choice],
    deployed: Deployed | None = None,
) -> DeploymentMatrix:
    """Put every subnet on every device; accuracies are predicted where nothing was `deployed`.

    An int8 device runs the quantized network; ONNX is of fp32 for devices of fp16. Latency on
    this machine is that of the deployed network, elsewhere it comes from the device's table.
    """
    space, archs = targets[0].costs.space, [choice.arch for choice in choices]
    latencies, accuracies, labels, tolerance = [], [], [], []
    right = _right_answers(targets, deployed)
    for d, target in enumerate(targets):
        device = target.costs.device
        if deployed is not None and target.name == HOST:
            latencies.append([row[d].latency_ms for row in deployed.cells])
            labels.append("measured end to end")
            tolerance.append(NOISE)
        else:
            latencies.append(target.costs.latency_ms(space.encode(archs)))
            labels.append(device.label)
            tolerance.append(0.0)
        if deployed is None:
            accuracies.append([choice.predicted_accuracy for choice in choices])
        else:
            accuracies.append([100 * row[d].mean() for row in right])
    accuracy_is = f"predicted ({model.label})"
    if right is not None:
        counts = sorted({len(cell) for row in right for cell in row})  # interpreters get fewer
        images = " or ".join(f"{count:,}" for count in counts)
        accuracy_is = f"measured on {images} images of {SPLIT}, in the device's precision"
    return DeploymentMatrix(
        space=space,
        targets=targets,
        choices=choices,
        latency_ms=np.array(latencies, float).T,
        accuracy=np.array(accuracies, float).T,
        accuracy_error=None if right is None else _accuracy_errors(right),
        loss_error=None if right is None else _loss_errors(right),
        fits=np.array([target.costs.fits(archs) for target in targets]).T,
        latency_is=labels,
        accuracy_is=accuracy_is,
        tolerance=np.array(tolerance),
        deployed=deployed,
    )


def _right_answers(
    targets: Sequence[Target], deployed: Deployed | None
) -> list[list[np.ndarray]] | None:
    """(S, D) arrays (N,) bool: which images each subnet names rightly as each device runs it.

    N is the same in a device's column: it is that of the kind of model that the device takes.
    """
    if deployed is None:
        return None
    int8 = [target.costs.device.precision == "int8" for target in targets]
    return [
        [model.int8_right if each else model.right for model, each in zip(row, int8)]
        for row in deployed.cells
    ]


def _accuracy_errors(right: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """(S, D) standard errors of accuracies, from answers (S, D, N)."""
    return np.array(
        [[standard_error(100 * cell.mean(), len(cell)) for cell in row] for row in right]
    )


def _loss_errors(right: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """(S, D) standard errors of losses; of answers (S, D, N), those of subnet d on device d are
    the device's own.
    """
    return np.array(
        [[paired_difference(right[d][d], cell)[1] for d, cell in enumerate(row)] for row in right]
    )
