"""Training a derived network from scratch, and its accuracy: what a genotype is judged by."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from labkit import checkpoint, data
from labkit.darts.config import TrainConfig, check_header, cosine, epoch_steps, stack_of
from labkit.darts.genotype import Genotype
from labkit.darts.network import DerivedNetwork
from labkit.data import DataSet, Split
from labkit.train.epochs import batch_of, plan_epoch

SCHEMA = "labkit-darts-train-1"
EVALUATION_BATCH = 500


class TrainResult(NamedTuple):
    network: DerivedNetwork
    history: list[dict]  # an entry an epoch: mean training loss
    cpu_seconds: float
    wall_seconds: float


def train_derived(genotype: Genotype, config: TrainConfig, out: Path, *, resume: bool = False,
                  device: str | torch.device = "cpu", checkpoint_every: int = 200,
                  progress: bool = True) -> TrainResult:
    """Train the network of `genotype` on the training split; leave checkpoint.safetensors in `out`.

    Resumes and raises as `labkit.darts.search_cell` does.
    """
    out, device = Path(out), torch.device(device)
    path = out / "checkpoint.safetensors"
    run = {**asdict(config), "genotype": genotype.to_json()}
    dataset = data.load(config.dataset)
    split = dataset.splits["train"]
    steps = epoch_steps(config, len(split.images))
    total = steps * config.epochs

    torch.manual_seed(config.seed)
    network = DerivedNetwork(genotype, **stack_of(config, dataset)).to(device)
    sgd = torch.optim.SGD(network.parameters(), lr=config.learning_rate, momentum=config.momentum,
                          weight_decay=config.weight_decay)
    for p in network.parameters():
        sgd.state[p]["momentum_buffer"] = torch.zeros_like(p)

    def tensors() -> dict[str, Tensor]:
        named = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
        return named | {f"momentum.{name}": sgd.state[p]["momentum_buffer"] for name, p in network.named_parameters()}

    header = {"schema": SCHEMA, "run": run, "step": 0, "losses": [], "history": [], "cpu_seconds": 0.0,
              "wall_seconds": 0.0}
    if path.exists() and not resume:
        raise FileExistsError(f"{path} exists; resume it, or choose another folder")
    if path.exists():
        saved, header = checkpoint.read(path)
        check_header(path, header, SCHEMA, run)
        ours = tensors()
        checkpoint.check_tensors(path, saved, ours)
        for name, tensor in saved.items():
            ours[name].copy_(tensor)
    else:
        checkpoint.save(path, tensors(), header)  # an unwritable folder shows before any work is done

    network.train()
    epoch = None
    cpu_before, wall_before = header["cpu_seconds"] - time.process_time(), header["wall_seconds"] - time.perf_counter()
    with tqdm(total=total, initial=header["step"], unit="step", disable=not progress, desc="derived network") as bar:
        while header["step"] < total:
            index, within = divmod(header["step"], steps)
            if epoch is None or within == 0:
                epoch = plan_epoch(len(split.images), config.seed, index)
            images, labels = batch_of(split, epoch, epoch.order[within * config.batch:(within + 1) * config.batch])
            for group in sgd.param_groups:
                group["lr"] = cosine(config.learning_rate, 0.0, header["step"] / total)
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + header["step"])
            logits = network(data.normalise(images.to(device), dataset), config.drop_path * index / config.epochs,
                             generator)
            loss = F.cross_entropy(logits, labels.to(device))
            sgd.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
            sgd.step()
            header["losses"].append(loss.item())
            if not math.isfinite(header["losses"][-1]):
                raise FloatingPointError(f"loss is {header['losses'][-1]} at step {header['step']}; lower the learning "
                                         f"rate ({config.learning_rate}). The last checkpoint is in {path}")
            header["step"] += 1
            bar.update()
            bar.set_postfix(loss=f"{header['losses'][-1]:.3f}", refresh=False)
            if header["step"] % steps == 0:
                header["history"].append({"epoch": index + 1, "loss": sum(header["losses"]) / steps})
                header["losses"] = []
            if header["step"] % steps == 0 or header["step"] % checkpoint_every == 0:
                header["cpu_seconds"] = cpu_before + time.process_time()
                header["wall_seconds"] = wall_before + time.perf_counter()
                checkpoint.save(path, tensors(), header)
    return TrainResult(network.eval(), header["history"], header["cpu_seconds"], header["wall_seconds"])


@torch.inference_mode()
def accuracy(network: DerivedNetwork, dataset: DataSet, split: str) -> float:
    """Top-1 accuracy of a trained network on a split, in percent."""
    device = next(network.parameters()).device
    images, labels = Split(*dataset.splits[split])
    network.eval()
    correct = sum((network(data.normalise(batch.to(device), dataset)).argmax(1).cpu() == truth).sum().item()
                  for batch, truth in zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH)))
    return 100 * correct / len(labels)
