"""Gradient search over a trained supernet's own space, with expected cost in the loss.

The supernet's weights stay as they are; only the architecture weights learn. A step draws relaxed
choices (Gumbel softmax, FBNet, arXiv 1812.03443, section 3.2), lowers the mixture's loss on images of
`val-search`, and pays a price for expected cost over budget (the differentiable latency term of
ProxylessNAS, arXiv 1812.00332, section 3.3). The price is not a constant to be tuned for each budget: it
rises while the expected cost is over budget and falls while it is under (dual ascent). The answer is the
most probable arch within budget, found exactly.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from labkit import data
from labkit.cost import AdditiveTable
from labkit.darts.config import check_positive
from labkit.darts.mixture import Probabilities, expected_cost, log_probability, mixed_forward
from labkit.data import DataSet
from labkit.search import Budget, best
from labkit.search.bound import check_feasible
from labkit.space import Arch, SearchSpace
from labkit.supernet import Supernet
from labkit.train.epochs import plan_epoch


@dataclass(frozen=True)
class GradientConfig:
    """How a gradient search runs. Defaults take about two minutes of one CPU core on `fmnist`."""

    steps: int = 150
    batch: int = 100
    learning_rate: float = 0.1  # of the architecture weights (Adam)
    hot: float = 2.0  # temperature of the Gumbel softmax at the start; it falls exponentially
    cold: float = 0.3
    price_rate: float = 0.1  # how fast the price of cost follows the excess over budget
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "steps", "batch", "learning_rate", "hot", "cold", "price_rate")


@dataclass(frozen=True, eq=False)
class GradientResult:
    """The arch found, its genes (G,) and cost, and how the search went.

    `probabilities` has one vector for each gene; `history` one entry a step: loss of the mixture,
    expected cost, and price. `cpu_seconds` are those of the search alone.
    """

    space: SearchSpace
    genes: np.ndarray
    cost: float
    probabilities: list[np.ndarray]
    history: list[dict]
    cpu_seconds: float

    @property
    def arch(self) -> Arch:
        return self.space.decode(self.genes[None])[0]


def gradient_search(supernet: Supernet, dataset: DataSet, budget: Budget, config: GradientConfig | None = None, *,
                    progress: bool = True) -> GradientResult:
    """Search an arch of `supernet.space` whose cost meets `budget`.

    `budget.cost` must be an AdditiveTable (a lookup table of latencies, MACs, parameters). Raises TypeError
    for another cost, InfeasibleBudget if no arch meets the budget, FloatingPointError if the loss of the
    mixture is no longer finite.
    """
    config = config or GradientConfig()
    space, table = supernet.space, budget.cost
    if not isinstance(table, AdditiveTable) or table.space != space:
        raise TypeError(f"gradient search needs a cost that adds up over the blocks of {space.name!r} (an "
                        f"AdditiveTable); {budget.name} is a {type(table).__name__}")
    check_feasible(space, [budget])
    device = next(supernet.parameters()).device
    split = dataset.splits["val-search"]
    if config.batch > len(split.images):
        raise ValueError(f"batch {config.batch} is larger than the {len(split.images)} images of val-search")

    started = time.process_time()
    logits = [torch.zeros(n, device=device, requires_grad=True) for n in space.choices.tolist()]
    adam = torch.optim.Adam(logits, lr=config.learning_rate, betas=(0.5, 0.999))
    generator = torch.Generator().manual_seed(config.seed)
    price, history = 0.0, []
    steps_per_epoch = len(split.images) // config.batch
    for step in tqdm(range(config.steps), unit="step", disable=not progress, desc=f"gradient search, {budget}"):
        index, within = divmod(step, steps_per_epoch)
        epoch = plan_epoch(len(split.images), config.seed, index)
        samples = epoch.order[within * config.batch:(within + 1) * config.batch]
        images = data.normalise(split.images[samples].to(device), dataset)
        labels = split.labels[samples].to(device)
        temperature = config.hot * (config.cold / config.hot) ** (step / max(1, config.steps - 1))

        probabilities = [F.softmax(logit, 0) for logit in logits]
        loss = mixture_loss(supernet, images, labels, probabilities[0], relaxed(logits, temperature, generator))
        cost = expected_cost(table, probabilities)
        excess = cost / budget.limit - 1
        gradients = torch.autograd.grad(loss + price * excess, logits)
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"loss of the mixture is {loss.item()} at step {step}; are the supernet's "
                                     "weights trained?")
        for logit, gradient in zip(logits, gradients):
            logit.grad = gradient
        adam.step()
        history.append({"loss": loss.item(), "cost": cost.item(), "price": price})
        price = max(0.0, price + config.price_rate * excess.item())

    probabilities = [F.softmax(logit.detach(), 0).cpu() for logit in logits]
    genes = best(space, log_probability(space, probabilities), [budget]).genes
    return GradientResult(space, genes, float(table(genes[None])[0]), [p.numpy() for p in probabilities], history,
                          time.process_time() - started)


def mixture_loss(supernet: Supernet, images: Tensor, labels: Tensor, resolution: Tensor,
                 choices: Probabilities) -> Tensor:
    """Mean cross entropy over the resolutions, weighted by their probabilities `resolution` (R,).

    Images at different resolutions cannot be mixed in one forward pass, so each has its own.
    """
    return sum(p * F.cross_entropy(mixed_forward(supernet, data.resize(images, r), choices), labels)
               for p, r in zip(resolution, supernet.space.resolutions))


def relaxed(logits: list[Tensor], temperature: float, generator: torch.Generator) -> list[Tensor]:
    """A draw from the Gumbel softmax: nearly one-hot at low temperature, differentiable over the logits."""
    noise = [-(-torch.rand(logit.shape, generator=generator).clamp_min(1e-20).log()).log() for logit in logits]
    return [F.softmax((logit + g.to(logit)) / temperature, 0) for logit, g in zip(logits, noise)]
