"""Training a derived network from scratch, and its accuracy: what a genotype is judged by."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.darts.config import DerivedTrainingConfig, stack_arguments
from labkit.darts.genotype import Genotype
from labkit.darts.network import DerivedNetwork
from labkit.data import datasets as data
from labkit.data.datasets import DataSet
from labkit.runtime.distributed import World
from labkit.runtime.machine import choose_device
from labkit.train.batches import Batches
from labkit.train.config import cosine
from labkit.train.resumable_run import Run, RunState, buffers_of, with_buffers

EVALUATION_BATCH = 500


class DerivedTrainingResult(NamedTuple):
    network: DerivedNetwork
    history: list[dict]  # an entry an epoch: mean training loss
    cpu_seconds: float  # 0 on a GPU
    gpu_seconds: float  # 0 on a CPU
    wall_seconds: float


class DerivedTrainingState(RunState):
    """Network, momentum buffers, and what the training has reported."""

    schema = "labkit-darts-train-1"
    saved = {"losses": list, "history": list}

    def __init__(
        self,
        genotype: Genotype,
        config: DerivedTrainingConfig,
        dataset: DataSet,
        device: torch.device,
    ) -> None:
        super().__init__({**asdict(config), "genotype": genotype.to_json()})
        torch.manual_seed(config.seed)
        self.config = config
        self.network = DerivedNetwork(genotype, **stack_arguments(config, dataset)).to(device)
        sgd = torch.optim.SGD(
            self.network.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self.sgd = with_buffers(sgd)
        self.losses: list[float] = []  # of the epoch so far
        self.history: list[dict] = []  # an entry an epoch

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
        return loss.item()

    def tensors(self) -> dict[str, Tensor]:
        network = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        return network | buffers_of(self.sgd, dict(self.network.named_parameters()))


def train_derived(
    genotype: Genotype,
    config: DerivedTrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    device: str | None = "cpu",
    checkpoint_every: int = 200,
    progress: bool = True,
) -> DerivedTrainingResult:
    """Train the network of `genotype` on the training split; leave checkpoint.safetensors in `out`.

    Resumes and raises as `labkit.darts.search_cell` does.
    """
    ranks, dataset = World(0, 1, choose_device(device)), data.load(config.dataset)
    batches = Batches(
        dataset,
        dataset.splits["train"],
        config.batch,
        config.seed,
        ranks,
        epoch_limit=config.steps_per_epoch,
    )
    total = config.epochs * batches.steps_per_epoch
    state = DerivedTrainingState(genotype, config, dataset, ranks.device)
    run = Run(
        state,
        Path(out) / "checkpoint.safetensors",
        ranks,
        total=total,
        steps_per_epoch=batches.steps_per_epoch,
        checkpoint_every=checkpoint_every,
        images=config.batch,
        name="derived network",
        remedy=f"lower the learning rate ({config.learning_rate})",
        progress=progress,
    )
    run.begin(resume=resume)
    for step in run.steps():
        images, labels = batches.augmented(step)
        epoch = step // batches.steps_per_epoch
        rate = cosine(config.learning_rate, 0.0, step / total)
        loss = state.advance(images, labels, rate, config.drop_path * epoch / config.epochs)
        run.report(loss)
        state.losses.append(loss)
        if run.ends_epoch(step):
            mean_loss = sum(state.losses) / len(state.losses)
            state.history.append({"epoch": epoch + 1, "loss": mean_loss})
            state.losses = []
    return DerivedTrainingResult(state.network.eval(), state.history, **state.timings())


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
