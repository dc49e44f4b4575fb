"""Depthwise convolution that is quick to differentiate on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight


class _FastDepthwise(torch.autograd.Function):
    """Depthwise convolution whose gradients run as forward convolutions.

    oneDNN's own backward kernels for depthwise 5x5 and 7x7 are 3 to 10 times slower than its
    forward kernel, and in bfloat16 also those of stride 2. The gradient of the input is a
    convolution of the output gradient, with zeros between its rows and columns where the stride
    left some out, with the kernel flipped. That of the weight correlates each image's input with
    its output gradient: a depthwise convolution over N * C channels, summed over the images.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (x, weight), stride = ctx.saved_tensors, ctx.stride
        n, c, h, w = x.shape
        k = weight.shape[-1]
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            spread = grad
            if stride > 1:
                spread = torch.zeros_like(x)
                spread[:, :, ::stride, ::stride] = grad
            grad_x = F.conv2d(spread, weight.flip(2, 3), None, 1, k // 2, groups=c)
        if ctx.needs_input_grad[1]:
            # In float32 a filter as large as a larger map costs more than oneDNN's kernel does.
            if k > 3 and (h <= 8 or x.dtype == torch.bfloat16):
                image = x.contiguous().view(1, n * c, h, w)
                filters = grad.contiguous().view(n * c, 1, *grad.shape[2:])
                options = {"padding": k // 2, "dilation": stride, "groups": n * c}
                per_image = F.conv2d(image, filters, **options)  # (1, NC, K, K), or one more each
                grad_weight = per_image[:, :, :k, :k].reshape(n, c, 1, k, k).sum(0)
            else:
                grad_weight = conv2d_weight(x, weight.shape, grad, stride, k // 2, groups=c)
        return grad_x, grad_weight, None


def depthwise_conv(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """`F.conv2d` with one filter (C, 1, K, K) for each channel of x, quick to differentiate on a
    CPU.
    """
    k = weight.shape[-1]
    if x.device.type == "cpu" and torch.is_grad_enabled():
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
        if x.dtype == torch.bfloat16 or (stride == 1 and k > 3):
            return _FastDepthwise.apply(x, weight, stride)
    return F.conv2d(x, weight, None, stride, k // 2, groups=len(weight))
