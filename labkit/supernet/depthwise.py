"""Depthwise convolution that is quick to differentiate on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight


class _FastDepthwise(torch.autograd.Function):
    """Depthwise convolution, stride 1, whose gradients run as forward convolutions.

    oneDNN's own backward kernels for depthwise 5x5 and 7x7 are 3 to 10 times slower than its
    forward kernel. The gradient of the input is a convolution with the kernel flipped; that of the
    weight correlates each image's input with its output gradient: a depthwise convolution over N *
    C channels, summed over the images.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, None, 1, weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        n, c, h, w = x.shape
        k = weight.shape[-1]
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = F.conv2d(grad, weight.flip(2, 3), None, 1, k // 2, groups=c)
        if ctx.needs_input_grad[1]:
            if h <= 8:
                image = x.contiguous().view(1, n * c, h, w)
                filters = grad.contiguous().view(n * c, 1, h, w)
                per_image = F.conv2d(image, filters, None, 1, k // 2, groups=n * c)  # (1, NC, K, K)
                grad_weight = per_image.view(n, c, 1, k, k).sum(0)
            else:  # a filter as large as the map costs more than oneDNN's kernel does
                grad_weight = conv2d_weight(x, weight.shape, grad, 1, k // 2, groups=c)
        return grad_x, grad_weight


def depthwise_conv(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """`F.conv2d` with one filter (C, 1, K, K) for each channel of x, quick to differentiate on a
    CPU.
    """
    k = weight.shape[-1]
    if (
        stride == 1
        and k > 3
        and x.device.type == "cpu"
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    ):
        return _FastDepthwise.apply(x, weight)
    return F.conv2d(x, weight, None, stride, k // 2, groups=len(weight))
