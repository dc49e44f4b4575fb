"""The architecture gradient against autograd through the training step."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from labkit.darts import bilevel
from labkit.darts.network import Alphas, SearchNetwork, initial_alphas

XI, DECAY, MOMENTUM = 0.5, 3e-4, 0.9


def exact(loss, weights, alphas, training, validation, velocity):
    """Differentiate L_val(w'(alpha), alpha) as a whole, the training step included."""
    gradients = torch.autograd.grad(
        loss(weights, alphas, training), list(weights.values()), create_graph=True
    )
    stepped = {
        name: w - XI * (g + DECAY * w + MOMENTUM * velocity[name])
        for (name, w), g in zip(weights.items(), gradients)
    }
    return torch.autograd.grad(loss(stepped, alphas, validation), list(alphas))


def perceptron():
    """Two layers, two mixed activations: smooth, every derivative exists."""
    torch.manual_seed(1)
    weights = {"a": torch.randn(8, 5), "b": torch.randn(3, 8)}
    weights = {name: w.double().requires_grad_() for name, w in weights.items()}
    alphas = [torch.randn(3, dtype=torch.float64).requires_grad_()]

    def loss(weights, alphas, batch):
        x, y = batch
        h = x @ weights["a"].T
        mix = alphas[0].softmax(0)
        h = mix[0] * h.tanh() + mix[1] * h.sigmoid() + mix[2] * h.sin()
        return F.cross_entropy(h @ weights["b"].T, y)

    def batch(seed):
        g = torch.Generator().manual_seed(seed)
        return (
            torch.randn(16, 5, generator=g, dtype=torch.float64),
            torch.randint(0, 3, (16,), generator=g),
        )

    return loss, weights, alphas, batch(1), batch(2)


def smoothed(network):
    """Its twin without kinks: softplus for ReLU, the mean for the maximum."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, torch.nn.ReLU):
                setattr(parent, name, torch.nn.Softplus())
            elif isinstance(child, torch.nn.MaxPool2d):
                setattr(parent, name, torch.nn.AvgPool2d(3, child.stride, 1))
    return network


def search_network(smooth=False):
    torch.manual_seed(0)
    network = SearchNetwork(
        nodes=1, channels=2, cells=3, in_channels=1, num_classes=3, stem_stride=1
    ).double()
    network = smoothed(network) if smooth else network
    weights = dict(network.named_parameters())
    alphas = [10 * a.double() for a in initial_alphas(1, 0)]
    alphas = [a.requires_grad_() for a in alphas]

    def loss(weights, alphas, batch):
        return F.cross_entropy(
            functional_call(network, weights, (batch[0], Alphas(*alphas))), batch[1]
        )

    def batch(seed):
        g = torch.Generator().manual_seed(seed)
        return (
            torch.randn(12, 1, 12, 12, generator=g, dtype=torch.float64),
            torch.randint(0, 3, (12,), generator=g),
        )

    return loss, weights, alphas, batch(1), batch(2)


@pytest.mark.parametrize(
    "problem,epsilon",
    [
        (perceptron, bilevel.EPSILON),
        (lambda: search_network(smooth=True), bilevel.EPSILON),
        # Kinks lie less than the paper's epsilon apart in a network this small.
        (search_network, 1e-6),
    ],
    ids=["perceptron", "smoothed search network", "search network"],
)
def test_second_order_is_the_unrolled_gradient(problem, epsilon, monkeypatch):
    monkeypatch.setattr(bilevel, "EPSILON", epsilon)
    loss, weights, alphas, training, validation = problem()
    generator = torch.Generator().manual_seed(3)
    velocity = {
        name: 0.1 * torch.randn(w.shape, generator=generator, dtype=w.dtype)
        for name, w in weights.items()
    }
    approximate = bilevel.second_order(
        loss,
        weights,
        alphas,
        training,
        validation,
        xi=XI,
        weight_decay=DECAY,
        momentum=MOMENTUM,
        velocity=velocity,
    )
    expected = exact(loss, weights, alphas, training, validation, velocity)
    flat = [torch.cat([g.flatten() for g in gradients]) for gradients in (approximate, expected)]
    assert (flat[0] - flat[1]).norm() < 0.01 * flat[1].norm()

    # The second term alone is right as well, and not too small to matter.
    stepped = {
        name: w - XI * (g + DECAY * w + MOMENTUM * velocity[name])
        for (name, w), g in zip(
            weights.items(),
            torch.autograd.grad(loss(weights, alphas, training), list(weights.values())),
        )
    }
    direct = torch.cat(
        [
            g.flatten()
            for g in torch.autograd.grad(
                loss({n: w.detach() for n, w in stepped.items()}, alphas, validation), alphas
            )
        ]
    )
    assert (flat[1] - direct).norm() > 0.01 * direct.norm()
    assert (flat[0] - flat[1]).norm() < 0.01 * (flat[1] - direct).norm()


def test_first_order_ignores_the_training_step():
    loss, weights, alphas, _, validation = perceptron()
    alpha = alphas[0]
    (gradient,) = bilevel.first_order(loss, weights, alphas, validation)
    for i in range(3):  # central differences
        moved = [alpha.detach().clone(), alpha.detach().clone()]
        moved[0][i] += 1e-5
        moved[1][i] -= 1e-5
        slope = (loss(weights, moved[:1], validation) - loss(weights, moved[1:], validation)) / 2e-5
        assert gradient[i].item() == pytest.approx(slope.item(), rel=1e-6)


def test_the_difference_step_is_the_papers():
    """epsilon = 0.01 / |dL_val/dw'|: the weights it evaluates at are 0.01 away, whatever the loss's
    scale.
    """
    for scale in (1.0, 1000.0):
        loss, weights, alphas, training, validation = perceptron()
        evaluated = []

        def spy(w, a, batch, loss=loss, evaluated=evaluated, scale=scale):
            evaluated.append({name: value.detach().clone() for name, value in w.items()})
            return scale * loss(w, a, batch)

        bilevel.second_order(spy, weights, alphas, training, validation, xi=XI / scale)
        plus, minus = evaluated[-2:]
        for side in (plus, minus):
            distance = math.sqrt(sum((side[n] - weights[n]).square().sum().item() for n in weights))
            assert distance == pytest.approx(0.01, rel=1e-6)
        for name, w in weights.items():
            torch.testing.assert_close(plus[name] + minus[name], 2 * w.detach())


def test_arguments_are_left_alone():
    loss, weights, alphas, training, validation = perceptron()
    before = {name: w.detach().clone() for name, w in weights.items()}
    bilevel.second_order(loss, weights, alphas, training, validation, xi=XI)
    assert all(
        torch.equal(weights[name], before[name]) and weights[name].grad is None for name in weights
    )
    assert alphas[0].grad is None


def test_zero_xi_is_first_order():
    loss, weights, alphas, training, validation = perceptron()
    with pytest.raises(ValueError, match="xi must be positive, got 0"):
        bilevel.second_order(loss, weights, alphas, training, validation, xi=0)
