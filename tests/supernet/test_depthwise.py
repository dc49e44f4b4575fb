import pytest
import torch
import torch.nn.functional as F

from labkit.supernet.depthwise import depthwise_conv


@pytest.mark.parametrize("side", [4, 7, 8, 9, 14])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_gradients_equal_torchs(side, kernel, stride):
    torch.manual_seed(side * kernel)
    x = (
        torch.randn(3, 5, side, side, dtype=torch.float64)
        .to(memory_format=torch.channels_last)
        .requires_grad_()
    )
    weight = torch.randn(5, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    ours = depthwise_conv(x, weight, stride)
    theirs = F.conv2d(x, weight, None, stride, kernel // 2, groups=5)
    torch.testing.assert_close(ours, theirs)
    pull = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, (x, weight), pull), torch.autograd.grad(theirs, (x, weight), pull)
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("side", [7, 8, 14])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_bfloat16_gradients_are_those_of_float32_to_its_precision(side, kernel, stride):
    torch.manual_seed(side * kernel)
    x = torch.randn(4, 5, side, side).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(5, 1, kernel, kernel, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours = depthwise_conv(x, weight, stride)
    assert ours.dtype == torch.bfloat16
    theirs = F.conv2d(x, weight, None, stride, kernel // 2, groups=5)
    pull = torch.randn_like(theirs)
    half = torch.autograd.grad(ours, (x, weight), pull.bfloat16())
    full = torch.autograd.grad(theirs, (x, weight), pull)
    for a, b in zip((ours, *half), (theirs, *full)):
        assert (a - b).norm() < 0.01 * b.norm()
