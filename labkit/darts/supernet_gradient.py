"""Gradient search over a trained supernet's own space, with expected cost in the loss.

The supernet's weights stay as they are; only the architecture weights learn. A step draws relaxed
choices (Gumbel softmax, FBNet, arXiv 1812.03443, section 3.2), lowers the mixture's loss on images
of `val-search`, and pays a price for expected cost over budget (the differentiable latency term of
ProxylessNAS, arXiv 1812.00332, section 3.3). The price is not a constant to be tuned for each
budget: it rises while the expected cost is over budget and falls while it is under, together with a
penalty on the squared excess (an augmented Lagrangian). At the end stands a distribution over
archs; its most probable arch within budget, found exactly, and others drawn from it are measured,
as FBNet does with its draws, and the most accurate is the answer.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from labkit.darts.config import check_header
from labkit.darts.mixed_supernet import Probabilities, expected_cost, log_probability, mixed_forward
from labkit.darts.stepwise_run import begin
from labkit.data import datasets as data
from labkit.data.datasets import DataSet
from labkit.search import Budget, best
from labkit.search.exact import check_feasible
from labkit.space import Arch, SearchSpace
from labkit.storage import tensor_file as checkpoint
from labkit.storage.config_fields import check_not_negative, check_positive, check_whole
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.supernet import Supernet
from labkit.tables.costs import AdditiveTable
from labkit.tables.separable import require_own
from labkit.train.epochs import plan_epoch

SCHEMA = "labkit-gradient-search-1"
DRAWS = 10_000  # from the final distribution, for candidates within budget


@dataclass(frozen=True)
class GradientConfig:
    """How a gradient search runs. With the defaults it takes about a minute of one CPU core on
    `fmnist`.

    The price is in nats of cross entropy for an expected cost of twice the budget.
    """

    steps: int = 100
    batch: int = 50
    learning_rate: float = 0.2  # of the architecture weights (Adam)
    hot: float = 2.0  # temperature of the Gumbel softmax at the start; it falls exponentially
    cold: float = 0.3  # and at the end
    price_rate: float = 0.005  # how fast the price of cost follows the excess over budget
    penalty: float = 1.0  # weight of the squared excess, which keeps the price from swinging
    candidates: int = (
        16  # archs measured at the end; with 1, the most probable arch is the answer unmeasured
    )
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole(self, "steps", "batch", "candidates")
        check_whole(self, "seed", least=0)
        check_positive(self, "learning_rate", "hot", "cold", "price_rate")
        check_not_negative(self, "penalty")


@dataclass(frozen=True, eq=False)
class GradientResult:
    """The arch found, its genes (G,) and cost, and how the search went.

    `candidates` (K, G) are the archs measured at the end, the most probable one first, and
    `accuracies` (K,) what was measured on `val-search`, in percent (empty if there is but one).
    `probabilities` has one vector for each gene; `history` one entry a step: loss of the mixture,
    expected cost, and price. `cpu_seconds` are those of the whole search.
    """

    space: SearchSpace
    genes: np.ndarray
    cost: float
    candidates: np.ndarray
    accuracies: np.ndarray
    probabilities: list[np.ndarray]
    history: list[dict]
    cpu_seconds: float

    @property
    def arch(self) -> Arch:
        return self.space.decode(self.genes[None])[0]


class _State:
    """Architecture weights, Adam's moments, the price, and where the run stands."""

    def __init__(
        self, space: SearchSpace, config: GradientConfig, device: torch.device, run: dict
    ) -> None:
        self.run = run
        self.logits = [
            torch.zeros(n, device=device, requires_grad=True) for n in space.choices.tolist()
        ]
        self.adam = torch.optim.Adam(self.logits, lr=config.learning_rate, betas=(0.5, 0.999))
        for logit in self.logits:
            self.adam.state[logit].update(
                step=torch.tensor(0.0),
                exp_avg=torch.zeros_like(logit),
                exp_avg_sq=torch.zeros_like(logit),
            )
        self.price, self.history, self.cpu_seconds = 0.0, [], 0.0

    @property
    def step(self) -> int:
        return len(self.history)

    def tensors(self) -> dict[str, Tensor]:
        tensors = {}
        for gene, logit in enumerate(self.logits):
            tensors[f"logits.{gene}"] = logit.data
            tensors |= {
                f"{moment}.{gene}": self.adam.state[logit][moment]
                for moment in ("exp_avg", "exp_avg_sq")
            }
        return tensors

    def save(self, path: Path) -> None:
        checkpoint.save(
            path,
            self.tensors(),
            {
                "schema": SCHEMA,
                "run": self.run,
                "price": self.price,
                "history": self.history,
                "cpu_seconds": self.cpu_seconds,
            },
        )

    def load(self, path: Path) -> None:
        tensors, header = checkpoint.read(path)
        check_header(path, header, SCHEMA, self.run, ("price", "history", "cpu_seconds"))
        ours = self.tensors()
        checkpoint.check_tensors(path, tensors, ours)
        for name, tensor in tensors.items():
            ours[name].copy_(tensor)
        self.price, self.history, self.cpu_seconds = (
            header["price"],
            header["history"],
            header["cpu_seconds"],
        )
        for logit in self.logits:
            self.adam.state[logit]["step"].fill_(self.step)


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
    Raises TypeError for another cost, ValueError for a table of another space or a limit of 0,
    InfeasibleBudget if no arch meets the budget, OSError before the first step if the folder cannot
    be written, CheckpointError if the checkpoint belongs to another run, FloatingPointError if the
    loss of the mixture is no longer finite.
    """
    config = config or GradientConfig()
    space, table, limit = supernet.space, budget.cost, float(budget.limit)
    if not isinstance(table, AdditiveTable):
        raise TypeError(
            f"gradient search needs a cost that adds up over the blocks of {space.name!r} (an "
            f"AdditiveTable); {budget.name} is a {type(table).__name__}"
        )
    require_own(space, [table])
    if limit == 0:
        raise ValueError(
            f"gradient search prices what exceeds {budget} as a share of the limit, which cannot be"
            " 0; exact search takes such a limit"
        )
    check_feasible(space, [budget])
    split = dataset.splits["val-search"]
    if config.batch > len(split.images):
        raise ValueError(
            f"batch {config.batch} is larger than the {len(split.images)} images of val-search"
        )
    device = next(supernet.parameters()).device
    run = {
        **asdict(config),
        "space": space.name,
        "budget": limit,
        "cost": budget.name,
        "table": _digest(table.base, table.blocks),
        "weights": _digest(*(p.detach().cpu().numpy() for p in supernet.parameters())),
    }
    state, path = (
        _State(space, config, device, run),
        Path(out) / "checkpoint.safetensors" if out else None,
    )
    if path:
        begin(state, path, resume=resume)
        checkpoint.check_step(path, state.step, config.steps)

    cpu_before = state.cpu_seconds - time.process_time()
    with tqdm(
        total=config.steps,
        initial=state.step,
        unit="step",
        disable=not progress,
        desc=f"gradient search, {budget}",
    ) as bar:
        while state.step < config.steps:
            index, within = divmod(state.step, len(split.images) // config.batch)
            samples = plan_epoch(len(split.images), config.seed, index).order[
                within * config.batch :
            ][: config.batch]
            images = data.normalize(split.images[samples].to(device), dataset)
            _advance(
                state, supernet, table, budget, config, images, split.labels[samples].to(device)
            )
            state.cpu_seconds = cpu_before + time.process_time()
            bar.update()
            bar.set_postfix(
                loss=f"{state.history[-1]['loss']:.3f}",
                cost=budget.show(state.history[-1]["cost"]),
                refresh=False,
            )
            if path and (state.step % checkpoint_every == 0 or state.step == config.steps):
                state.save(path)

    probabilities = [F.softmax(logit.detach(), 0).cpu() for logit in state.logits]
    candidates = draw_candidates(
        space, probabilities, budget, config.candidates, np.random.default_rng(config.seed)
    )
    accuracies = np.array([])
    if len(candidates) > 1:
        evaluator = Evaluator(supernet, dataset, "val-search")
        accuracies = np.array(evaluator.accuracies(space.decode(candidates), progress=progress))
    genes = candidates[accuracies.argmax() if len(accuracies) else 0]
    return GradientResult(
        space,
        genes,
        float(table(genes[None])[0]),
        candidates,
        accuracies,
        [p.numpy() for p in probabilities],
        state.history,
        cpu_before + time.process_time(),
    )


def _digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[
        :16
    ]


def draw_candidates(
    space: SearchSpace,
    probabilities: Probabilities,
    budget: Budget,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(K, G) different archs within budget: the most probable one, then up to n - 1 drawn from
    `probabilities`.
    """
    most_probable = best(space, log_probability(space, probabilities), [budget]).genes
    draws = np.stack(
        [
            (rng.random((DRAWS, 1)) >= np.cumsum(p.double().numpy())[:-1]).sum(1)
            for p in probabilities
        ],
        1,
    )
    draws = space.canonical(draws.astype(np.int8))
    rows = np.concatenate([most_probable[None], draws[budget.cost(draws) <= budget.limit]])
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)[:n]]


def _advance(
    state: _State,
    supernet: Supernet,
    table: AdditiveTable,
    budget: Budget,
    config: GradientConfig,
    images: Tensor,
    labels: Tensor,
) -> None:
    """One step of the architecture weights, then one of the price."""
    temperature = config.hot * (config.cold / config.hot) ** (state.step / max(1, config.steps - 1))
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + state.step)
    probabilities = [F.softmax(logit, 0) for logit in state.logits]
    loss = mixture_loss(
        supernet, images, labels, probabilities[0], relaxed(state.logits, temperature, generator)
    )
    if not math.isfinite(loss.item()):
        raise FloatingPointError(
            f"loss of the mixture is {loss.item()} at step {state.step}; are the supernet's "
            "weights trained?"
        )
    cost = expected_cost(table, probabilities)
    excess = cost / budget.limit - 1
    objective = loss + state.price * excess + config.penalty / 2 * excess.clamp_min(0) ** 2
    for logit, gradient in zip(state.logits, torch.autograd.grad(objective, state.logits)):
        logit.grad = gradient
    state.adam.step()
    state.history.append({"loss": loss.item(), "cost": cost.item(), "price": state.price})
    state.price = max(0.0, state.price + config.price_rate * excess.item())


def mixture_loss(
    supernet: Supernet, images: Tensor, labels: Tensor, resolution: Tensor, choices: Probabilities
) -> Tensor:
    """Mean cross entropy over the resolutions, weighted by their probabilities `resolution` (R,).

    Images at different resolutions cannot be mixed in one forward pass, so each has its own.
    """
    return sum(
        p * F.cross_entropy(mixed_forward(supernet, data.resize(images, r), choices), labels)
        for p, r in zip(resolution, supernet.space.resolutions)
    )


def relaxed(logits: list[Tensor], temperature: float, generator: torch.Generator) -> list[Tensor]:
    """A draw from the Gumbel softmax: nearly one-hot at low temperature, differentiable over the
    logits.
    """
    noise = [
        -(-torch.rand(logit.shape, generator=generator).clamp_min(1e-20).log()).log()
        for logit in logits
    ]
    return [F.softmax((logit + g.to(logit)) / temperature, 0) for logit, g in zip(logits, noise)]
