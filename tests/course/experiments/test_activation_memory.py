"""How much memory activations take in training."""

import torch
import torch.nn.functional as F

from labkit.course.experiments.activation_memory import peak_saved_bytes


def test_kept_activations_count_once_and_weights_do_not():
    x, weight = torch.randn(10, 8, requires_grad=True), torch.nn.Parameter(torch.randn(8, 8))
    narrow = torch.randn(10, 4)

    def compute():
        y = x * x  # keeps x, for both factors
        z = F.linear(y, weight)  # keeps y, and the weights
        out = z.exp()  # keeps its result
        F.linear(
            narrow, weight[:, :4]
        ).sum()  # keeps narrow, and a part of the weights, until it is gone
        out.sum().backward()

    assert peak_saved_bytes(compute) == 4 * (3 * 80 + 40)


def test_what_one_backward_pass_freed_is_not_kept_in_the_next():
    x = torch.randn(100, requires_grad=True)
    assert peak_saved_bytes(lambda: [x.exp().sum().backward() for _ in range(5)]) == 400
    assert peak_saved_bytes(lambda: sum(x.exp().sum() for _ in range(5)).backward()) == 5 * 400
