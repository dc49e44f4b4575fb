"""One step of training: the losses of its archs, and the gradients that they add to the weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.data.datasets import resize
from labkit.space import Arch
from labkit.supernet.batch_norm import BatchStatistics
from labkit.supernet.supernet import Supernet
from labkit.train.recipes import Recipe


def label_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Mean cross entropy of logits (N, classes) against labels (N,), in nats.

    >>> label_loss(torch.zeros(4, 8), torch.tensor([0, 1, 2, 3]), 0.1)  # log(8)
    tensor(2.0794)
    """
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def distillation_loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean cross entropy against the teacher's softmax; the teacher gets no gradient."""
    return F.cross_entropy(logits, teacher_logits.detach().softmax(1))


def training_step(
    supernet: Supernet,
    recipe: Recipe,
    archs: list[Arch],
    images: Tensor,
    labels: Tensor,
    smoothing: float,
    teacher: Supernet | None = None,
    *,
    stats: BatchStatistics | None = None,
    autocast: torch.dtype | None = None,
    scaler: torch.amp.GradScaler | None = None,
    recompute: bool = False,
) -> float:
    """Add the gradients of one step to the weights; return the first arch's loss.

    With a `teacher`, each arch learns from the labels and from its largest subnet in equal parts
    (OFA). `stats` normalizes (by this batch, unless given), `autocast` computes in half precision,
    `scaler` scales losses for it, `recompute` is that of `Supernet.forward`.

    Each arch's graph is freed before the next forward pass, so memory does not grow with their
    number.
    """

    def logits_of(network: Supernet, arch: Arch, **options: object) -> Tensor:
        with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
            logits = network(resize(images, arch.resolution), arch, stats, **options)
        return logits if autocast is None else logits.float()  # (N, classes)

    largest_logits, teacher_logits, first_loss = None, None, None
    if teacher is not None:
        with torch.no_grad():
            teacher_logits = logits_of(teacher, teacher.space.largest())
    for arch in archs:
        logits = logits_of(supernet, arch, recompute=recompute)
        if largest_logits is not None:
            loss = distillation_loss(logits, largest_logits)
            if recipe.label_share:
                loss = loss.lerp(label_loss(logits, labels, 0.0), recipe.label_share)
        else:
            loss = label_loss(logits, labels, smoothing)
            if teacher_logits is not None:
                loss = (loss + distillation_loss(logits, teacher_logits)) / 2
            first_loss = loss.item() if first_loss is None else first_loss
            if recipe.distill:
                largest_logits = logits.detach()
        (loss if scaler is None else scaler.scale(loss)).backward()
    return first_loss
