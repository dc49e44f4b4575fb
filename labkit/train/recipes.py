"""Recipes: which archs a training step samples, and what they learn from.

A recipe is a value; the loop is the same for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from labkit.space import Arch, SearchSpace


@dataclass(frozen=True)
class Recipe:
    """How one training step treats the supernet.

    sandwich: each step trains the largest and the smallest arch, so that all the others lie between
        two trained ones (Yu & Huang, arXiv 1903.05134).
    random_archs: archs drawn at random in each step, besides.
    distill: the others learn the largest arch's output on the same batch instead of the labels
        ("in-place distillation", BigNAS, arXiv 2003.11142, section 3.1).
    """

    name: str
    sandwich: bool
    random_archs: int
    distill: bool

    def __post_init__(self) -> None:
        if self.distill and not self.sandwich:
            raise ValueError(f"recipe {self.name!r}: in-place distillation needs the largest arch in every step")

    def archs(self, space: SearchSpace, rng: np.random.Generator) -> list[Arch]:
        """The archs of one step, the largest first where there is one."""
        ends = [space.largest(), space.smallest()] if self.sandwich else []
        return ends + space.decode(space.sample(rng, self.random_archs))


RECIPES = {recipe.name: recipe for recipe in (
    Recipe("sandwich", sandwich=True, random_archs=1, distill=True),
    Recipe("sandwich-labels", sandwich=True, random_archs=1, distill=False),
    Recipe("single-path", sandwich=False, random_archs=1, distill=False),
)}


def label_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Mean cross entropy of logits (N, classes) against labels (N,)."""
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def distillation_loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean cross entropy against the teacher's softmax; the teacher gets no gradient."""
    return F.cross_entropy(logits, teacher_logits.detach().softmax(1))
