"""The architecture gradient of bilevel optimization, first and second order.

The architecture weights a are to minimize the validation loss of weights w that minimize the
training loss. DARTS (arXiv 1806.09055, section 2.3) replaces those weights by one training step,

    gradient over a of L_val(w', a),    w' = w - xi * (gradient over w of L_train(w, a)),

which is dL_val(w', a)/da - xi * (d2 L_train(w, a)/da dw) dL_val(w', a)/dw'. The product with the
matrix of second derivatives is a central difference of two more gradients (eq. 8), at weights that
are epsilon = 0.01 / |dL_val/dw'| apart from w in the direction of dL_val/dw'. With xi = 0 only the
first term is left, at w' = w: the first-order approximation.

On a smooth network the difference agrees with the exact product to many digits. ReLU and max
pooling have kinks between the two points, where gradients jump: the difference sees them, autograd
through the training step does not, so on a very small ReLU network the two differ unless epsilon is
far smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Weights = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]  # images, labels
Loss = Callable[
    [Weights, Sequence[Tensor], Batch], Tensor
]  # weights, architecture weights, batch -> scalar

EPSILON = 0.01  # over the norm of the gradient: the paper's step for the central difference


def first_order(
    loss: Loss, weights: Weights, alphas: Sequence[Tensor], validation: Batch
) -> tuple[Tensor, ...]:
    """Gradient of the validation loss over `alphas`, the weights taken as constant (xi = 0)."""
    return torch.autograd.grad(loss(weights, alphas, validation), tuple(alphas))


def second_order(
    loss: Loss,
    weights: Weights,
    alphas: Sequence[Tensor],
    training: Batch,
    validation: Batch,
    *,
    xi: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    velocity: Weights | None = None,
) -> tuple[Tensor, ...]:
    """Gradient over `alphas` of the validation loss after one training step of size `xi`.

    The training step is that of SGD with `weight_decay`, `momentum` and its `velocity` buffers,
    when given; neither depends on the architecture weights, so the formula stands. `weights` and
    `alphas` must require gradients and are not changed. Raises ValueError unless xi > 0.
    """
    if not xi > 0:
        raise ValueError(f"xi must be positive, got {xi}; first_order is the gradient for xi = 0")
    stepped = training_step(
        loss,
        weights,
        alphas,
        training,
        xi=xi,
        weight_decay=weight_decay,
        momentum=momentum,
        velocity=velocity,
    )
    gradients = torch.autograd.grad(loss(stepped, alphas, validation), (*alphas, *stepped.values()))
    direct, direction = gradients[: len(alphas)], gradients[len(alphas) :]

    norm = torch.stack(torch._foreach_norm(direction)).norm().item()
    if norm == 0:  # the stepped weights are optimal: the second term is a product with zero
        return direct

    def at(offset: float) -> tuple[Tensor, ...]:
        moved = {
            name: (w + offset * d).detach() for (name, w), d in zip(weights.items(), direction)
        }
        return torch.autograd.grad(loss(moved, alphas, training), tuple(alphas))

    products = central_difference(at, EPSILON / norm)
    return tuple(d - xi * product for d, product in zip(direct, products))


def central_difference(at: Callable[[float], Sequence], step: float) -> list:
    """The derivatives at 0 of what `at` returns, by its values at `step` and at `-step`."""
    return [(plus - minus) / (2 * step) for plus, minus in zip(at(step), at(-step))]


def training_step(
    loss: Loss,
    weights: Weights,
    alphas: Sequence[Tensor],
    batch: Batch,
    *,
    xi: float,
    weight_decay: float,
    momentum: float,
    velocity: Weights | None,
) -> Weights:
    """w' as new leaves: what one SGD step of size `xi` would make of `weights`."""
    gradients = torch.autograd.grad(loss(weights, alphas, batch), tuple(weights.values()))
    stepped = {}
    for (name, weight), gradient in zip(weights.items(), gradients):
        step = gradient + weight_decay * weight.detach()
        if velocity is not None:
            step += momentum * velocity[name]
        stepped[name] = (weight.detach() - xi * step).requires_grad_()
    return stepped
