"""Training a derived network from scratch, and its accuracy: what a genotype is judged by."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.darts.config import TrainConfig, check_header, cosine, epoch_steps, stack_of
from labkit.darts.genotype import Genotype
from labkit.darts.network import DerivedNetwork
from labkit.darts.stepwise_run import begin, run
from labkit.data import datasets as data
from labkit.data.datasets import DataSet
from labkit.runtime.machine import choose_device
from labkit.storage import tensor_file as checkpoint
from labkit.train.epochs import Epoch, batch_of, plan_epoch

SCHEMA = "labkit-darts-train-1"
EVALUATION_BATCH = 500


class TrainResult(NamedTuple):
    network: DerivedNetwork
    history: list[dict]  # an entry an epoch: mean training loss
    cpu_seconds: float
    wall_seconds: float


class _State:
    """Network, momentum buffers, and where the run stands."""

    def __init__(
        self, genotype: Genotype, config: TrainConfig, dataset: DataSet, device: torch.device
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.run = config, {**asdict(config), "genotype": genotype.to_json()}
        self.network = DerivedNetwork(genotype, **stack_of(config, dataset)).to(device)
        self.sgd = torch.optim.SGD(
            self.network.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        for p in (
            self.network.parameters()
        ):  # from the start, so that a checkpoint has one set of tensors
            self.sgd.state[p]["momentum_buffer"] = torch.zeros_like(p)
        self.step, self.cpu_seconds, self.wall_seconds, self.history, self.losses = (
            0,
            0.0,
            0.0,
            [],
            [],
        )

    def advance(
        self, images: Tensor, labels: Tensor, learning_rate: float, drop_path: float
    ) -> float:
        """One step; returns the loss before it."""
        for group in self.sgd.param_groups:
            group["lr"] = learning_rate
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        loss = F.cross_entropy(self.network(images, drop_path, generator), labels)
        self.sgd.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clip)
        self.sgd.step()
        self.step += 1
        return loss.item()

    def tensors(self) -> dict[str, Tensor]:
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        return tensors | {
            f"momentum.{name}": self.sgd.state[p]["momentum_buffer"]
            for name, p in self.network.named_parameters()
        }

    def save(self, path: Path) -> None:
        checkpoint.save(
            path,
            self.tensors(),
            {
                "schema": SCHEMA,
                "run": self.run,
                "step": self.step,
                "losses": self.losses,
                "history": self.history,
                "cpu_seconds": self.cpu_seconds,
                "wall_seconds": self.wall_seconds,
            },
        )

    def load(self, path: Path) -> None:
        tensors, header = checkpoint.read(path)
        check_header(
            path,
            header,
            SCHEMA,
            self.run,
            ("step", "losses", "history", "cpu_seconds", "wall_seconds"),
        )
        ours = self.tensors()
        checkpoint.check_tensors(path, tensors, ours)
        for name, tensor in tensors.items():
            ours[name].copy_(tensor)
        self.step, self.losses, self.history = header["step"], header["losses"], header["history"]
        self.cpu_seconds, self.wall_seconds = header["cpu_seconds"], header["wall_seconds"]


def train_derived(
    genotype: Genotype,
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    device: str | None = "cpu",
    checkpoint_every: int = 200,
    progress: bool = True,
) -> TrainResult:
    """Train the network of `genotype` on the training split; leave checkpoint.safetensors in `out`.

    Resumes and raises as `labkit.darts.search_cell` does.
    """
    out, device = Path(out), choose_device(device)
    path = out / "checkpoint.safetensors"
    dataset = data.load(config.dataset)
    split = dataset.splits["train"].to(device)
    steps = epoch_steps(config, len(split.images))
    total = steps * config.epochs
    state = _State(genotype, config, dataset, device)
    begin(state, path, resume=resume)

    @lru_cache(maxsize=1)
    def plan(index: int) -> Epoch:
        return plan_epoch(len(split.images), config.seed, index).to(device)

    def advance(index: int, within: int) -> float:
        epoch = plan(index)
        images, labels = batch_of(
            split, epoch, epoch.order[within * config.batch : (within + 1) * config.batch]
        )
        return state.advance(
            data.normalize(images, dataset),
            labels,
            cosine(config.learning_rate, 0.0, state.step / total),
            config.drop_path * index / config.epochs,
        )

    run(
        state,
        path,
        epochs=config.epochs,
        epoch_steps=steps,
        advance=advance,
        summary=lambda index: {"epoch": index + 1, "loss": sum(state.losses) / len(state.losses)},
        learning_rate=config.learning_rate,
        checkpoint_every=checkpoint_every,
        progress=progress,
        name="derived network",
    )
    return TrainResult(state.network.eval(), state.history, state.cpu_seconds, state.wall_seconds)


@torch.inference_mode()
def accuracy(network: DerivedNetwork, dataset: DataSet, split: str) -> float:
    """Top-1 accuracy of a trained network on a split, in percent."""
    device = next(network.parameters()).device
    images, labels = dataset.splits[split]
    network.eval()
    correct = sum(
        (network(data.normalize(batch.to(device), dataset)).argmax(1).cpu() == truth).sum().item()
        for batch, truth in zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH))
    )
    return 100 * correct / len(labels)
