"""What comes after training, measuring and deploying, and how long it takes here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labkit.adopt.plan import step_seconds
from labkit.specialize.choices import Choice, choose_subnets
from labkit.specialize.deployed_models import deploy_all
from labkit.specialize.targets import Request, targets
from labkit.supernet.accuracy_files import SEARCHED, UNSEARCHED
from labkit.supernet.accuracy_measurement import SHIFT_ARCHS
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.folder import TrainedSupernet, load
from labkit.train import TrainConfig


def rehearse_deploying(
    config: TrainConfig, requests: Sequence[Request], device: str | None = None
) -> float:
    """Seconds that choosing and deploying a subnet for each of the devices takes here.

    By one subnet for all of them, of a supernet that was trained for a single step.
    """
    with tempfile.TemporaryDirectory() as place:
        folder, models = Path(place) / "supernet", Path(place) / "models"
        step_seconds(config, 0.0, device, folder)
        trained, start = load(folder, predictor="synthetic"), time.perf_counter()
        ordered, choices = choose_subnets(targets(trained.space, requests), trained.predictor)
        choosing = time.perf_counter() - start
        archs = [choice.arch for choice in reversed(choices)] + [trained.space.smallest()]
        arch = next(a for a in archs if all(each.costs.fits([a])[0] for each in ordered))
        same = [Choice(each.name, arch, 0.0) for each in ordered]
        deploy_all(trained, ordered, same, models, progress=False)
        deploying = time.perf_counter() - start - choosing
    # Every subnet is deployed as each kind of model, those of other devices to compare.
    return choosing + deploying * len(choices)


def count_pairs(trained: TrainedSupernet, seconds: float, archs: int = 8) -> int:
    """How many pairs are measured in `seconds` here, by a few archs; it may be none.

    Some of the archs are measured on all image sets.
    """

    def arch_seconds(split: str) -> float:
        start = time.perf_counter()
        Evaluator(trained.supernet, trained.dataset, split).accuracies(archs_to_time)
        return (time.perf_counter() - start) / len(genes)

    genes = np.unique(trained.space.sample(np.random.default_rng(0), archs), axis=0)
    archs_to_time = trained.space.decode(genes)
    each = arch_seconds(SEARCHED)
    besides = sum(map(arch_seconds, UNSEARCHED))
    few = seconds / (each + besides)
    return int(few if few <= SHIFT_ARCHS else (seconds - SHIFT_ARCHS * besides) / each)
