"""DARTS: search a cell by gradient descent on architecture weights, resumable at any step.

The training split is halved; network weights learn on one half, architecture weights on the other,
one step each in turn (DARTS, arXiv 1806.09055, algorithm 1 and section 3.1). Validation and test
images play no part.

Skip connections train fastest, so they gain weight while the convolutions are still poor; long
searches can end with cells of little else (DARTS+, arXiv 1909.06035; R-DARTS, arXiv 1909.09656).
`history` counts them epoch by epoch, so that a collapse is seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from labkit.darts.bilevel import Batch, Weights, first_order, second_order
from labkit.darts.config import DartsConfig, check_header, cosine, epoch_steps, stack_of
from labkit.darts.genotype import Genotype, derive_cell
from labkit.darts.network import Alphas, SearchNetwork, initial_alphas
from labkit.darts.stepwise_run import begin, run
from labkit.data import datasets as data
from labkit.data.datasets import DataSet, Split
from labkit.runtime.machine import choose_device, machine
from labkit.storage import tensor_file as checkpoint
from labkit.storage.atomic_write import write_atomic
from labkit.train.epochs import Epoch, batch_of, plan_epoch

SCHEMA = "labkit-darts-search-1"


class SearchResult(NamedTuple):
    genotype: Genotype
    alphas: Alphas
    history: list[dict]  # an entry an epoch: training loss, genotype, skip connections in it
    cpu_seconds: float
    wall_seconds: float


def halves(split: Split, seed: int) -> tuple[Split, Split]:
    """`split` in two at random: for the network's weights, and for the architecture weights."""
    order = torch.randperm(len(split.images), generator=torch.Generator().manual_seed(seed))
    first, second = order.tensor_split(2)
    return Split(split.images[first], split.labels[first]), Split(
        split.images[second], split.labels[second]
    )


def derive(alphas: Alphas, edges_per_node: int = 2) -> Genotype:
    """The genotype of architecture weights; raises ValueError if any is not finite."""
    return Genotype(*(derive_cell(a.detach().cpu().numpy(), edges_per_node) for a in alphas))


class SearchState:
    """Weights, architecture weights, both optimizers' moments, and where the run stands."""

    def __init__(self, config: DartsConfig, dataset: DataSet, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.network = SearchNetwork(nodes=config.nodes, **stack_of(config, dataset)).to(device)
        self.alphas = Alphas(
            *(a.to(device).requires_grad_() for a in initial_alphas(config.nodes, config.seed))
        )
        self.weights: Weights = dict(self.network.named_parameters())
        self.sgd = torch.optim.SGD(
            self.network.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self.adam = torch.optim.Adam(
            self.alphas,
            lr=config.arch_learning_rate,
            betas=(0.5, 0.999),
            weight_decay=config.arch_weight_decay,
        )
        # Moments exist from the start: second order reads them, and a checkpoint has one set of
        # tensors.
        for p in self.weights.values():
            self.sgd.state[p]["momentum_buffer"] = torch.zeros_like(p)
        for a in self.alphas:
            self.adam.state[a].update(
                step=torch.tensor(0.0), exp_avg=torch.zeros_like(a), exp_avg_sq=torch.zeros_like(a)
            )
        self.step, self.cpu_seconds, self.wall_seconds, self.history, self.losses = (
            0,
            0.0,
            0.0,
            [],
            [],
        )

    def loss(self, weights: Weights, alphas: Sequence[Tensor], batch: Batch) -> Tensor:
        images, labels = batch
        return F.cross_entropy(
            functional_call(self.network, weights, (images, Alphas(*alphas))), labels
        )

    def advance(self, training: Batch, validation: Batch) -> float:
        """One step of the architecture weights, then one of the weights; returns the training loss
        before it.
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
        self.step += 1
        return loss.item()

    def tensors(self) -> dict[str, Tensor]:
        tensors = {f"weights.{name}": p.data for name, p in self.weights.items()}
        tensors |= {
            f"momentum.{name}": self.sgd.state[p]["momentum_buffer"]
            for name, p in self.weights.items()
        }
        for kind, alpha in self.alphas._asdict().items():
            tensors[f"alphas.{kind}"] = alpha.data
            tensors |= {
                f"adam.{kind}.{moment}": self.adam.state[alpha][moment]
                for moment in ("exp_avg", "exp_avg_sq")
            }
        return tensors

    def save(self, path: Path) -> None:
        checkpoint.save(
            path,
            self.tensors(),
            {
                "schema": SCHEMA,
                "run": asdict(self.config),
                "step": self.step,
                "losses": self.losses,
                "cpu_seconds": self.cpu_seconds,
                "wall_seconds": self.wall_seconds,
                "history": self.history,
            },
        )

    def load(self, path: Path) -> None:
        tensors, header = checkpoint.read(path)
        check_header(
            path,
            header,
            SCHEMA,
            asdict(self.config),
            ("step", "losses", "history", "cpu_seconds", "wall_seconds"),
        )
        ours = self.tensors()
        checkpoint.check_tensors(path, tensors, ours)
        for name, tensor in tensors.items():
            ours[name].copy_(tensor)
        for alpha in self.alphas:
            self.adam.state[alpha]["step"].fill_(header["step"])
        self.step, self.losses, self.history = header["step"], header["losses"], header["history"]
        self.cpu_seconds, self.wall_seconds = header["cpu_seconds"], header["wall_seconds"]


def search_cell(
    config: DartsConfig,
    out: Path,
    *,
    resume: bool = False,
    device: str | None = "cpu",
    checkpoint_every: int = 100,
    progress: bool = True,
) -> SearchResult:
    """Search a genotype; leave checkpoint.safetensors and genotype.json in `out`.

    `device` is "cpu", "cuda" or None for a GPU if there is one. With `resume`, go on from the
    folder's checkpoint if there is one. Raises ValueError for a device that is not there, DataError
    for images that are not there, OSError before the first step if the folder cannot be written,
    CheckpointError if the checkpoint belongs to another run, FloatingPointError when the loss is no
    longer finite.
    """
    out, device = Path(out), choose_device(device)
    path = out / "checkpoint.safetensors"
    dataset = data.load(config.dataset)
    training, validation = (
        half.to(device) for half in halves(dataset.splits["train"], config.seed)
    )
    steps = epoch_steps(config, len(validation.images))
    state = SearchState(config, dataset, device)
    begin(state, path, resume=resume)

    @lru_cache(maxsize=2)
    def plan(samples: int, seed: int, index: int) -> Epoch:
        return plan_epoch(samples, seed, index).to(device)

    def batch(split: Split, stream: int, index: int, within: int) -> Batch:
        epoch = plan(len(split.images), 2 * config.seed + stream, index)
        images, labels = batch_of(
            split, epoch, epoch.order[within * config.batch : (within + 1) * config.batch]
        )
        return data.normalize(images, dataset), labels

    def advance(index: int, within: int) -> float:
        for group in state.sgd.param_groups:  # the rate changes by epoch, as published
            group["lr"] = cosine(
                config.learning_rate, config.min_learning_rate, index / config.epochs
            )
        return state.advance(batch(training, 0, index, within), batch(validation, 1, index, within))

    run(
        state,
        path,
        epochs=config.epochs,
        epoch_steps=steps,
        advance=advance,
        summary=lambda index: _summary(index + 1, state),
        learning_rate=config.learning_rate,
        checkpoint_every=checkpoint_every,
        progress=progress,
        name=f"DARTS, order {config.order}",
    )
    result = SearchResult(
        derive(state.alphas, config.edges_per_node),
        state.alphas,
        state.history,
        state.cpu_seconds,
        state.wall_seconds,
    )
    _write_genotype(out / "genotype.json", result, config, device)
    return result


def _summary(epoch: int, state: SearchState) -> dict:
    genotype = derive(state.alphas, state.config.edges_per_node)
    none = sum(F.softmax(a.detach(), -1)[:, 0].mean().item() for a in state.alphas) / len(
        state.alphas
    )
    return {
        "epoch": epoch,
        "loss": sum(state.losses) / len(state.losses),
        "genotype": genotype.to_json(),
        "skip_connections": genotype.count("skip_connect"),
        "mean_weight_of_none": none,
    }


def _write_genotype(
    path: Path, result: SearchResult, config: DartsConfig, device: torch.device
) -> None:
    value = {
        "schema": "labkit-genotype-1",
        "genotype": result.genotype.to_json(),
        "config": asdict(config),
        "cpu_seconds": result.cpu_seconds,
        "wall_seconds": result.wall_seconds,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(device),
        "history": result.history,
    }
    write_atomic(
        path, lambda temporary: temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")
    )
