"""DARTS: the search of a cell by gradient descent on architecture weights.

The training split is halved; network weights learn on one half, architecture weights on the other,
one step each in turn (DARTS, arXiv 1806.09055, algorithm 1 and section 3.1). Validation and test
images play no part.

Skip connections train fastest, so they gain weight while the convolutions are still poor; long
searches can end with cells of little else (DARTS+, arXiv 1909.06035; R-DARTS, arXiv 1909.09656).
`history` counts them epoch by epoch, so that a collapse is seen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from labkit.darts.bilevel import Batch, Weights, first_order, second_order
from labkit.darts.config import DartsConfig, stack_arguments
from labkit.darts.genotype import Genotype, derive_cell
from labkit.darts.network import Alphas, SearchNetwork, initial_alphas
from labkit.data import datasets as data
from labkit.data.datasets import DataSet, Split
from labkit.runtime.distributed import World
from labkit.runtime.machine import choose_device, machine
from labkit.storage.atomic_write import write_json
from labkit.train.batches import Batches
from labkit.train.config import cosine
from labkit.train.resumable_run import Run, RunState, buffers_of, with_buffers


class CellSearchResult(NamedTuple):
    genotype: Genotype
    alphas: Alphas
    history: list[dict]  # an entry an epoch: training loss, genotype, skip connections in it
    cpu_seconds: float  # 0 on a GPU
    gpu_seconds: float  # 0 on a CPU
    wall_seconds: float


def halves(split: Split, seed: int) -> tuple[Split, Split]:
    """`split` in two at random: for the network's weights, and for the architecture weights."""
    order = torch.randperm(len(split.images), generator=torch.Generator().manual_seed(seed))
    return tuple(Split(split.images[half], split.labels[half]) for half in order.tensor_split(2))


def derive(alphas: Alphas, edges_per_node: int = 2) -> Genotype:
    """The genotype of architecture weights; raises ValueError if any is not finite."""
    return Genotype(*(derive_cell(a.detach().cpu().numpy(), edges_per_node) for a in alphas))


class CellSearchState(RunState):
    """Weights, architecture weights, both optimizers' moments, and what the search has reported."""

    schema = "labkit-darts-search-1"
    saved = {"losses": list, "history": list}

    def __init__(self, config: DartsConfig, dataset: DataSet, device: torch.device) -> None:
        super().__init__(asdict(config))
        torch.manual_seed(config.seed)
        self.config = config
        self.network = SearchNetwork(nodes=config.nodes, **stack_arguments(config, dataset)).to(
            device
        )
        self.alphas = Alphas(
            *(a.to(device).requires_grad_() for a in initial_alphas(config.nodes, config.seed))
        )
        self.weights: Weights = dict(self.network.named_parameters())
        sgd = torch.optim.SGD(
            self.network.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        adam = torch.optim.Adam(
            self.alphas,
            lr=config.arch_learning_rate,
            betas=(0.5, 0.999),
            weight_decay=config.arch_weight_decay,
        )
        self.sgd, self.adam = with_buffers(sgd), with_buffers(adam)
        self.losses: list[float] = []  # of the epoch so far
        self.history: list[dict] = []  # an entry an epoch

    def loss(self, weights: Weights, alphas: Sequence[Tensor], batch: Batch) -> Tensor:
        images, labels = batch
        return F.cross_entropy(
            functional_call(self.network, weights, (images, Alphas(*alphas))), labels
        )

    def advance(self, training: Batch, validation: Batch) -> float:
        """One step of the architecture weights, then one of the weights.

        Returns the training loss before it.
        """
        config = self.config
        if config.order == 2:
            gradients = second_order(
                self.loss,
                self.weights,
                self.alphas,
                training,
                validation,
                xi=self.sgd.param_groups[0]["lr"],
                weight_decay=config.weight_decay,
                momentum=config.momentum,
                velocity={
                    name: self.sgd.state[p]["momentum_buffer"] for name, p in self.weights.items()
                },
            )
        else:
            gradients = first_order(self.loss, self.weights, self.alphas, validation)
        for alpha, gradient in zip(self.alphas, gradients):
            alpha.grad = gradient
        self.adam.step()

        loss = self.loss(self.weights, self.alphas, training)
        for p, gradient in zip(
            self.weights.values(), torch.autograd.grad(loss, tuple(self.weights.values()))
        ):
            p.grad = gradient
        torch.nn.utils.clip_grad_norm_(self.weights.values(), config.gradient_clip)
        self.sgd.step()
        return loss.item()

    def tensors(self) -> dict[str, Tensor]:
        weights = {f"weights.{name}": p.data for name, p in self.weights.items()}
        alphas = {f"alphas.{kind}": alpha.data for kind, alpha in self.alphas._asdict().items()}
        buffers = buffers_of(self.sgd, self.weights) | buffers_of(self.adam, self.alphas._asdict())
        return weights | alphas | buffers

    def end_epoch(self) -> None:
        """Add an entry to the history."""
        genotype = derive(self.alphas, self.config.edges_per_node)
        none = [F.softmax(alpha.detach(), -1)[:, 0].mean().item() for alpha in self.alphas]
        entry = {
            "epoch": len(self.history) + 1,
            "loss": sum(self.losses) / len(self.losses),
            "genotype": genotype.to_json(),
            "skip_connections": genotype.count("skip_connect"),
            "mean_weight_of_none": sum(none) / len(none),
        }
        self.history.append(entry)
        self.losses = []


def search_cell(
    config: DartsConfig,
    out: Path,
    *,
    resume: bool = False,
    device: str | None = "cpu",
    checkpoint_every: int = 100,
    progress: bool = True,
) -> CellSearchResult:
    """Search a genotype; leave checkpoint.safetensors and genotype.json in `out`.

    `device` is "cpu", "cuda" or None for a GPU if there is one. With `resume`, go on from the
    folder's checkpoint if there is one. Raises ValueError for a device that is not there, DataError
    for images that are not there, OSError before the first step if the folder cannot be written,
    CheckpointError if the checkpoint belongs to another run, FloatingPointError when the loss is no
    longer finite.
    """
    out, ranks = Path(out), World(0, 1, choose_device(device))
    dataset = data.load(config.dataset)
    training_half, validation_half = halves(dataset.splits["train"], config.seed)
    validation = Batches(
        dataset,
        validation_half,
        config.batch,
        2 * config.seed + 1,
        ranks,
        epoch_limit=config.steps_per_epoch,
    )
    epoch_steps = validation.steps_per_epoch
    training = Batches(
        dataset, training_half, config.batch, 2 * config.seed, ranks, epoch_limit=epoch_steps
    )
    state = CellSearchState(config, dataset, ranks.device)
    run = Run(
        state,
        out / "checkpoint.safetensors",
        ranks,
        total=config.epochs * epoch_steps,
        steps_per_epoch=epoch_steps,
        checkpoint_every=checkpoint_every,
        images=config.batch,
        name=f"DARTS, order {config.order}",
        remedy=f"lower the learning rate ({config.learning_rate})",
        progress=progress,
    )
    run.begin(resume=resume)
    for step in run.steps():
        epoch = step // epoch_steps  # the rate changes by epoch, as published
        rate = cosine(config.learning_rate, config.min_learning_rate, epoch / config.epochs)
        for group in state.sgd.param_groups:
            group["lr"] = rate
        loss = state.advance(training.augmented(step), validation.augmented(step))
        run.report(loss)
        state.losses.append(loss)
        if run.ends_epoch(step):
            state.end_epoch()
    genotype = derive(state.alphas, config.edges_per_node)
    result = CellSearchResult(genotype, state.alphas, state.history, **state.timings())
    _write_genotype(out / "genotype.json", result, config, ranks.device)
    return result


def _write_genotype(
    path: Path, result: CellSearchResult, config: DartsConfig, device: torch.device
) -> None:
    value = {
        "schema": "labkit-genotype-1",
        "genotype": result.genotype.to_json(),
        "config": asdict(config),
        "cpu_seconds": result.cpu_seconds,
        "gpu_seconds": result.gpu_seconds,
        "wall_seconds": result.wall_seconds,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(device),
        "history": result.history,
    }
    write_json(path, value)
