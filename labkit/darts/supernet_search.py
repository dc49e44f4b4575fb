"""Gradient search over a trained supernet's own space, with expected cost in the loss.

The supernet's weights stay as they are; only the architecture weights learn. A step draws relaxed
choices (Gumbel softmax, FBNet, arXiv 1812.03443, section 3.3), lowers the mixture's loss on images
of `val-search`, and pays a price for expected cost over budget (the differentiable latency term of
ProxylessNAS, arXiv 1812.00332, section 3.3). The price is not a constant to be tuned for each
budget: it rises while the expected cost is over budget and falls while it is under, together with a
penalty on the squared excess (an augmented Lagrangian). The result is a distribution over
archs; its most probable arch within budget, found exactly, and others drawn from it are measured,
as FBNet does with its draws, and the most accurate is the answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.darts.mixed_supernet import (
    Probabilities,
    expected_cost,
    log_probability,
    mixture_loss,
    relaxed,
    require_one_width,
)
from labkit.data.datasets import DataSet
from labkit.runtime.distributed import World
from labkit.search import Budget, best
from labkit.search.exact import check_feasible
from labkit.space import Arch, SearchSpace
from labkit.storage.config_fields import check_not_negative, check_positive, check_whole
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.supernet import Supernet
from labkit.tables.costs import AdditiveTable
from labkit.tables.separable import check_tables
from labkit.train.batches import Batches
from labkit.train.resumable_run import Run, RunState, buffers_of, with_buffers

DRAWS = 10_000  # from the final distribution, for candidates within budget


@dataclass(frozen=True)
class GradientConfig:
    """How a gradient search runs.

    With the defaults it takes about a minute and a half of one CPU core on `fmnist`. The price is
    in nats of cross entropy for an expected cost of twice the budget.
    """

    steps: int = 100
    batch: int = 50
    learning_rate: float = 0.2  # of the architecture weights (Adam)
    hot: float = 2.0  # temperature of the Gumbel softmax at the start; it falls exponentially
    cold: float = 0.3  # and at the end
    price_rate: float = 0.005  # how fast the price of cost follows the excess over budget
    penalty: float = 1.0  # weight of the squared excess, which keeps the price from swinging
    candidates: int = 16  # archs measured at the end; 1: the most probable arch, unmeasured
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole(self, "steps", "batch", "candidates")
        check_whole(self, "seed", least=0)
        check_positive(self, "learning_rate", "hot", "cold", "price_rate")
        check_not_negative(self, "penalty")
        if self.cold > self.hot:
            raise ValueError(f"cold must be at most hot, {self.hot:g}, got {self.cold:g}")


@dataclass(frozen=True, eq=False)
class GradientResult:
    """The arch found, its genes (G,) and cost, and how the search went.

    `candidates` (K, G) are the archs measured at the end, the most probable one first, and
    `accuracies` (K,) what was measured on `val-search`, in percent (empty if there is but one).
    `probabilities` has one vector for each gene; `history` one entry a step: loss of the mixture,
    expected cost, and price. The seconds are those of the whole search, on a CPU or on a GPU.
    """

    space: SearchSpace
    genes: np.ndarray
    cost: float
    candidates: np.ndarray
    accuracies: np.ndarray
    probabilities: list[np.ndarray]
    history: list[dict]
    cpu_seconds: float
    gpu_seconds: float
    wall_seconds: float

    @property
    def arch(self) -> Arch:
        return self.space.decode(self.genes[None])[0]


class GradientSearchState(RunState):
    """Architecture weights, Adam's moments, the price, and what the search has reported."""

    schema = "labkit-gradient-search-1"
    saved = {"price": (int, float), "history": list}

    def __init__(
        self, space: SearchSpace, config: GradientConfig, device: torch.device, options: dict
    ) -> None:
        super().__init__(options)
        self.config = config
        self.logits = [
            torch.zeros(n, device=device, requires_grad=True) for n in space.choices.tolist()
        ]
        adam = torch.optim.Adam(self.logits, lr=config.learning_rate, betas=(0.5, 0.999))
        self.adam = with_buffers(adam)
        self.price, self.history = 0.0, []

    def tensors(self) -> dict[str, Tensor]:
        logits = {str(gene): logit for gene, logit in enumerate(self.logits)}
        data = {f"logits.{gene}": logit.data for gene, logit in logits.items()}
        return data | buffers_of(self.adam, logits)

    def advance(
        self, supernet: Supernet, budget: Budget, images: Tensor, labels: Tensor
    ) -> dict[str, float]:
        """One step of the architecture weights, then one of the price; returns what is reported."""
        config = self.config
        progress = self.step / max(1, config.steps - 1)
        temperature = config.hot * (config.cold / config.hot) ** progress
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        choices = relaxed(self.logits, temperature, generator)
        probabilities = [F.softmax(logit, 0) for logit in self.logits]
        loss = mixture_loss(supernet, images, labels, probabilities[0], choices)
        cost = expected_cost(budget.cost, probabilities)
        excess = cost / budget.limit - 1
        objective = loss + self.price * excess + config.penalty / 2 * excess.clamp_min(0) ** 2
        for logit, gradient in zip(self.logits, torch.autograd.grad(objective, self.logits)):
            logit.grad = gradient
        self.adam.step()
        entry = {"loss": loss.item(), "cost": cost.item(), "price": self.price}
        self.history.append(entry)
        self.price = max(0.0, self.price + config.price_rate * excess.item())
        return entry


def gradient_search(
    supernet: Supernet,
    dataset: DataSet,
    budget: Budget,
    config: GradientConfig | None = None,
    *,
    out: Path | None = None,
    resume: bool = False,
    checkpoint_every: int = 20,
    progress: bool = True,
) -> GradientResult:
    """Search an arch of `supernet.space` whose cost meets `budget`.

    `budget.cost` must be an AdditiveTable (a lookup table of latencies, MACs, parameters). With
    `out`, a checkpoint follows the run in that folder; with `resume`, the run goes on from it.
    Raises TypeError for another cost, ValueError for a space of several widths, a table of another
    space or a limit of 0,
    InfeasibleBudget if no arch meets the budget, OSError before the first step if the folder cannot
    be written, CheckpointError if the checkpoint belongs to another run, FloatingPointError if the
    loss of the mixture is no longer finite.
    """
    config = config or GradientConfig()
    space, table, limit = supernet.space, budget.cost, float(budget.limit)
    require_one_width(space)
    if not isinstance(table, AdditiveTable):
        raise TypeError(
            f"gradient search needs a cost that adds up over the blocks of {space.name!r} (an "
            f"AdditiveTable); {budget.name} is a {type(table).__name__}"
        )
    check_tables(space, [table])
    if limit == 0:
        raise ValueError(
            f"gradient search prices what exceeds {budget} as a share of the limit, which cannot be"
            " 0; exact search takes such a limit"
        )
    check_feasible(space, [budget])
    device = next(supernet.parameters()).device
    ranks = World(0, 1, device)
    batches = Batches(dataset, dataset.splits["val-search"], config.batch, config.seed, ranks)
    options = {
        **asdict(config),
        "space": space.name,
        "budget": limit,
        "cost": budget.name,
        "table": _digest(table.base, table.blocks),
        "weights": _digest(*(p.detach().cpu().numpy() for p in supernet.parameters())),
    }
    state = GradientSearchState(space, config, device, options)
    run = Run(
        state,
        Path(out) / "checkpoint.safetensors" if out else None,
        ranks,
        total=config.steps,
        steps_per_epoch=config.steps,
        checkpoint_every=checkpoint_every,
        images=config.batch,
        name=f"gradient search, {budget}",
        loss_name="loss of the mixture",
        remedy="are the supernet's weights trained?",
        progress=progress,
    )
    run.begin(resume=resume)
    for step in run.steps():
        entry = state.advance(supernet, budget, *batches.plain(step))
        run.report(entry["loss"], cost=f"{entry['cost']:.3g} {budget.unit}")

    probabilities = [F.softmax(logit.detach(), 0).cpu() for logit in state.logits]
    rng = np.random.default_rng(config.seed)
    candidates = draw_candidates(space, probabilities, budget, config.candidates, rng)
    genes, accuracies = candidates[0], np.array([])
    if len(candidates) > 1:
        evaluator = Evaluator(supernet, dataset, "val-search")
        accuracies = np.array(evaluator.accuracies(space.decode(candidates), progress=progress))
        genes = candidates[accuracies.argmax()]
    run.count_time()
    return GradientResult(
        space,
        genes,
        float(table(genes[None])[0]),
        candidates,
        accuracies,
        [p.numpy() for p in probabilities],
        state.history,
        **state.timings(),
    )


def _digest(*arrays: np.ndarray) -> str:
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return hashlib.sha256(content).hexdigest()[:16]


def draw_candidates(
    space: SearchSpace,
    probabilities: Probabilities,
    budget: Budget,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(K, G) different archs within budget, the most probable one first.

    Up to n - 1 others are drawn from `probabilities`.
    """
    mode = best(space, log_probability(space, probabilities), [budget]).genes
    columns = []
    for probability in probabilities:
        thresholds = np.cumsum(probability.double().numpy())[:-1]
        columns.append((rng.random((DRAWS, 1)) >= thresholds).sum(1))
    draws = space.canonical(np.stack(columns, 1).astype(np.int8))
    rows = np.concatenate([mode[None], draws[budget.cost(draws) <= budget.limit]])
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)[:n]]
