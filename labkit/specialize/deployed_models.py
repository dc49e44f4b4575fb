"""Chosen subnets as ONNX models in a folder, one for each device, verified and measured here."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from labkit.space import Arch
from labkit.specialize.choices import Choice
from labkit.storage.atomic_write import write_atomic
from labkit.storage.provenance import sha256
from labkit.supernet.folder import TrainedSupernet

if TYPE_CHECKING:
    from labkit.deploy.onnx.deployment import OnnxDeployment

SPLIT = "val"


def deploy_all(
    trained: TrainedSupernet,
    choices: Sequence[Choice],
    out: Path,
    *,
    int8: bool,
    progress: bool = True,
) -> list[OnnxDeployment]:
    """Export each choice to `out`/OWNER.onnx, verify it, and measure accuracy on val and latency
    here.

    A subnet that several devices chose is deployed once, and its files are copied for the others.
    """
    from labkit.deploy.onnx.deployment import deploy
    from labkit.supernet.evaluation import Evaluator

    supernet, dataset = trained.supernet, trained.dataset
    evaluator, digest = Evaluator(supernet, dataset, SPLIT), sha256(trained.weights_path)
    by_arch: dict[Arch, OnnxDeployment] = {}
    models = []
    for choice in tqdm(
        choices, desc="deploying and measuring", unit="subnet", disable=not progress
    ):
        path = out / f"{choice.owner}.onnx"
        if choice.arch in by_arch:
            models.append(_copied(by_arch[choice.arch], path))
        else:
            subnet = supernet.extract(choice.arch, evaluator.recalibrate(choice.arch))
            model = deploy(
                trained.space, subnet, dataset, path, int8=int8, split=SPLIT, supernet=digest
            )
            by_arch[choice.arch] = model
            models.append(model)
    return models


def _copied(model: OnnxDeployment, path: Path) -> OnnxDeployment:
    """The same subnet with its files again, called `path` and NAME.int8.onnx beside it."""

    def copy(source: str, target: Path) -> str:
        for ending in ("", ".json"):  # the record beside it
            write_atomic(
                target.with_name(target.name + ending),
                lambda temporary, ending=ending: shutil.copyfile(source + ending, temporary),
            )
        return str(target)

    int8 = model.int8_path and copy(model.int8_path, path.with_suffix(".int8.onnx"))
    return replace(model, path=copy(model.path, path), int8_path=int8)


def remove_stale(out: Path, names: Sequence[str], models: Sequence[OnnxDeployment]) -> None:
    """Delete files in `out` that are called like a model of one of `names`, or like the record of
    one, but are none of `models`.
    """
    current = {
        Path(path).name for model in models for path in (model.path, model.int8_path) if path
    }
    possible = {f"{name}{ending}" for name in names for ending in (".onnx", ".int8.onnx")}
    for file in possible - current:
        (out / file).unlink(missing_ok=True)
        (out / f"{file}.json").unlink(missing_ok=True)
