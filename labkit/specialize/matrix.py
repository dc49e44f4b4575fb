"""Every subnet on every device: why one network for all is too slow somewhere, or worse somewhere.

The subnets are those that `labkit.specialize.fleet` chooses, one for each device. They are
exported, verified and measured as they would be deployed; on a device that is not its own, a subnet
is too slow, does not fit into memory, or gives accuracy away.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from labkit.latency.devices import HOST
from labkit.space import Arch, SearchSpace
from labkit.specialize.device_search import AccuracyModel, accuracy_model
from labkit.specialize.fleet import ALL, Choice, Request, Target, choose, targets
from labkit.storage.atomic_write import write_atomic
from labkit.storage.provenance import code_revision
from labkit.supernet.artifacts import supernet_path

if TYPE_CHECKING:
    from labkit.deploy.onnx.deployment import OnnxDeployment

SCHEMA = 1
NOISE = 0.05  # a latency that was measured end to end is over its budget when it exceeds it by more
SLOWDOWN = 0.1  # by how much this machine may differ from its table before that is pointed out
SPLIT = "val"


@dataclass(frozen=True, eq=False)
class Matrix:
    """Subnets (rows, S) on devices (columns, D)."""

    space: SearchSpace
    targets: Sequence[Target]
    choices: Sequence[Choice]
    latency_ms: np.ndarray  # (S, D)
    accuracy: np.ndarray  # (S, D) top-1 in percent, in the precision of the device
    fits: np.ndarray  # (S, D) whether SRAM and flash hold it
    latency_is: Sequence[str]  # (D,) how the latencies were come by
    accuracy_is: str
    tolerance: np.ndarray  # (D,) share of the budget by which a measured latency may exceed it
    deployed: Sequence[OnnxDeployment] | None = (
        None  # (S,) None where the subnets were not deployed
    )

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

    def own(self, s: int, d: int) -> bool:
        return self.choices[s].owner == self.targets[d].name

    def serves_all(self, s: int) -> bool:
        """Whether subnet `s` meets every device's limits and is as good there as the device's own."""
        return not (self.too_slow[s] | ~self.fits[s]).any() and bool(self.loss[s].max() < 0.05)

    def verdict(self, s: int) -> str:
        """What would come of subnet `s` as the one network for all devices."""
        fails = self.too_slow[s] | ~self.fits[s]
        worst = max(self.loss[s][~fails], default=0.0)
        worse = f"up to {worst:.1f} points worse" if worst >= 0.05 else ""
        if fails.any():
            return f"fails on {fails.sum()} of {len(fails)}" + (
                f", elsewhere {worse}" if worse else ""
            )
        return f"fits everywhere, {worse or 'as good as each own'}"

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

    def to_json(self) -> dict:
        devices = [
            {
                "name": t.name,
                "title": t.costs.device.title,
                "latency_is": how,
                "budget_ms": t.budget_ms,
                "precision": t.costs.device.precision,
            }
            for t, how in zip(self.targets, self.latency_is)
        ]
        files = (
            [(d.path, d.int8_path) for d in self.deployed]
            if self.deployed
            else [(None, None)] * len(self.choices)
        )
        subnets = [
            {
                "for": choice.owner,
                "arch": choice.arch.to_json(),
                "predicted_accuracy": choice.predicted_accuracy,
                "verdict": self.verdict(s),
                **{
                    field: path and Path(path).name
                    for field, path in zip(("model", "int8_model"), files[s])
                },
            }
            for s, choice in enumerate(self.choices)
        ]
        cells = {
            name: getattr(self, name).tolist()
            for name in ("latency_ms", "over_budget", "accuracy", "loss", "fits", "too_slow")
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
        }


def specialize(
    space: SearchSpace,
    requests: Sequence[Request],
    out: Path,
    *,
    seed: int = 0,
    progress: bool = True,
) -> Matrix:
    """Choose, deploy and measure a subnet for each device; write specialize.json and models to
    `out`.

    In a space without a trained supernet nothing can be deployed: accuracies are predicted there.
    Models of an earlier run that are called like a device of this one, and are not its own, are
    removed from `out`.
    """
    model = accuracy_model(space)
    wanted, choices = choose(space, model, targets(space, requests, seed))
    deployed = None
    if supernet_path(space.name).is_file():
        int8 = any(target.costs.device.precision == "int8" for target in wanted)
        deployed = deploy_all(space, choices, out, int8=int8, progress=progress)
    found = matrix(space, model, wanted, choices, deployed)
    remove_stale(out, [ALL, *(target.name for target in wanted)], deployed or ())
    write_atomic(
        out / "specialize.json",
        lambda path: path.write_text(
            json.dumps({**found.to_json(), "seed": seed}, indent=1) + "\n"
        ),
    )
    return found


def deploy_all(
    space: SearchSpace, choices: Sequence[Choice], out: Path, *, int8: bool, progress: bool = True
) -> list[OnnxDeployment]:
    """Export each choice to a file named after its owner, verify it, and measure accuracy on val
    and latency here.

    A subnet that several devices chose is deployed once, and its files are copied for the others.
    """
    from labkit.data import datasets as data
    from labkit.deploy.onnx.deployment import deploy
    from labkit.supernet import weights_file as pretrained
    from labkit.supernet.evaluation import Evaluator

    supernet, record = pretrained.load(supernet_path(space.name))
    dataset = data.load(pretrained.dataset_of(supernet_path(space.name), record))
    evaluator = Evaluator(supernet, dataset, SPLIT)
    first: dict[Arch, OnnxDeployment] = {}
    done = []
    for choice in tqdm(
        choices, desc="deploying and measuring", unit="subnet", disable=not progress
    ):
        path = (
            out / f"{choice.owner}.onnx"
        )  # with the spaces of ALL, that no board's file is called like it
        if choice.arch in first:
            done.append(_copied(first[choice.arch], path))
        else:
            subnet = supernet.extract(choice.arch, evaluator.recalibrate(choice.arch))
            first[choice.arch] = deploy(space, subnet, dataset, path, int8=int8, split=SPLIT)
            done.append(first[choice.arch])
    return done


def _copied(deployed: OnnxDeployment, path: Path) -> OnnxDeployment:
    """The same subnet with its files again, called `path` and NAME.int8.onnx beside it."""

    def copy(source: str, target: Path) -> str:
        write_atomic(target, lambda temporary: shutil.copyfile(source, temporary))
        return str(target)

    int8 = deployed.int8_path and copy(deployed.int8_path, path.with_suffix(".int8.onnx"))
    return replace(deployed, path=copy(deployed.path, path), int8_path=int8)


def remove_stale(out: Path, names: Sequence[str], deployed: Sequence[OnnxDeployment]) -> None:
    """Delete models in `out` that are called like one of `names` but are not what was `deployed`."""
    written = {Path(path).name for d in deployed for path in (d.path, d.int8_path) if path}
    for file in {
        f"{name}{ending}" for name in names for ending in (".onnx", ".int8.onnx")
    } - written:
        (out / file).unlink(missing_ok=True)


def matrix(
    space: SearchSpace,
    model: AccuracyModel,
    wanted: Sequence[Target],
    choices: Sequence[Choice],
    deployed: Sequence[OnnxDeployment] | None,
) -> Matrix:
    """Put every subnet on every device; accuracies are predicted where nothing was `deployed`.

    An int8 device runs the quantized network; fp16 is taken to be as accurate as fp32. Latency on
    this machine is that of the deployed network, elsewhere it comes from the device's table.
    """
    genes = space.encode([choice.arch for choice in choices])
    columns, accuracies, labels, tolerance = [], [], [], []
    for target in wanted:
        device, here = target.costs.device, target.name == HOST and deployed is not None
        columns.append([d.latency_ms for d in deployed] if here else target.costs.latency_ms(genes))
        labels.append("measured end to end" if here else device.label)
        tolerance.append(NOISE if here else 0.0)
        if deployed is None:
            accuracies.append([choice.predicted_accuracy for choice in choices])
        else:
            accuracies.append(
                [d.int8_accuracy if device.precision == "int8" else d.accuracy for d in deployed]
            )
    fits = [target.costs.fits([choice.arch for choice in choices]) for target in wanted]
    accuracy_is = (
        f"predicted ({model.label})"
        if deployed is None
        else f"measured on {SPLIT}, in the device's precision"
    )
    return Matrix(
        space,
        wanted,
        choices,
        np.array(columns, float).T,
        np.array(accuracies, float).T,
        np.array(fits).T,
        labels,
        accuracy_is,
        np.array(tolerance),
        deployed,
    )


def as_text(found: Matrix) -> str:
    """The matrix for a terminal."""
    width = max(18, *(len(target.name) + 2 for target in found.targets))
    margin = max(16, *(len(choice.owner) + 4 for choice in found.choices))
    lines = [
        f"{'':<{margin}}" + "".join(f"{target.name:>{width}}" for target in found.targets),
        f"{'budget':<{margin}}"
        + "".join(f"{f'{target.budget_ms:.4g} ms':>{width}}" for target in found.targets),
    ]
    for s, choice in enumerate(found.choices):
        row = f"{choice.owner if choice.owner == ALL else 'of ' + choice.owner:<{margin}}"
        for d in range(len(found.targets)):
            mark = "own" if found.own(s, d) else ""
            mark = "SLOW" if found.too_slow[s, d] else mark
            mark = mark if found.fits[s, d] else "BIG"
            row += (
                f"{mark:>{width - 13}}{found.over_budget[s, d]:5.2f}x{found.accuracy[s, d]:6.2f}%"
            )
        lines.append(f"{row}  {found.verdict(s)}")
    lines += [
        "",
        f"Each cell: latency over the device's budget, and top-1 accuracy ({found.accuracy_is}).",
        "Latencies: "
        + "; ".join(f"{t.name} {how}" for t, how in zip(found.targets, found.latency_is))
        + ".",
    ]
    if abs(found.slowdown() - 1) > SLOWDOWN:
        lines.append(
            f"This machine takes {found.slowdown():.2f} times as long as when its table was"
            " measured; if it is idle now, measure the table again: labkit lut measure"
        )
    return "\n".join(lines)
