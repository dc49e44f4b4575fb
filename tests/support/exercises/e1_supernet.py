"""Answers to the exercises of 01_supernet: `RIGHT` must pass, `WRONG` must not."""

import math
from decimal import Decimal

import torch
import torch.nn.functional as F
from torch import nn

# ---- 1.1 -----------------------------------------------------------------------------------------


def kernel_linear(weight, transform, size):
    edge = (weight.shape[-1] - size) // 2
    center = weight[..., edge : edge + size, edge : edge + size]
    return F.linear(center.flatten(1), transform).view(-1, 1, size, size)


def kernel_einsum(weight, transform, size):
    k = weight.shape[-1]
    taps = [i for i in range(k) if abs(i - k // 2) <= size // 2]
    center = weight[:, 0][:, taps][:, :, taps]
    t = transform.reshape(size, size, size, size)
    return torch.einsum("abij,cij->cab", t, center).unsqueeze(1)


def kernel_crop_numpy(weight, transform, size):
    e = (weight.shape[-1] - size) // 2
    w = weight.numpy()[:, 0, e:-e, e:-e].reshape(len(weight), -1)
    return (transform.numpy() @ w.T).T.reshape(len(weight), 1, size, size)


def kernel_corner(weight, transform, size):
    return F.linear(weight[..., :size, :size].flatten(1), transform).view(-1, 1, size, size)


def kernel_off_by_one(weight, transform, size):
    edge = (weight.shape[-1] - size) // 2 - 1
    return F.linear(weight[..., edge : edge + size, edge : edge + size].flatten(1), transform).view(
        -1, 1, size, size
    )


def kernel_no_transform(weight, transform, size):
    edge = (weight.shape[-1] - size) // 2
    return weight[..., edge : edge + size, edge : edge + size]


def kernel_transposed(weight, transform, size):
    return kernel_linear(weight, transform.T, size)


def kernel_columns_first(weight, transform, size):
    return kernel_linear(weight.transpose(2, 3), transform, size)


def kernel_four_channels(weight, transform, size):
    edge = (weight.shape[-1] - size) // 2
    center = weight[..., edge : edge + size, edge : edge + size]
    return F.linear(center.reshape(4, size**2), transform).view(4, 1, size, size)


def kernel_into_the_large_one(weight, transform, size):
    edge = (weight.shape[-1] - size) // 2
    center = weight[:, :, edge : edge + size, edge : edge + size]
    return center.copy_(kernel_linear(weight, transform, size))


def kernel_flat(weight, transform, size):
    return kernel_linear(weight, transform, size).flatten(1)


# ---- 1.2 -----------------------------------------------------------------------------------------


def sort_argsort(expand, depthwise, project):
    order = project.abs().sum(0).argsort(descending=True)
    return expand[order], depthwise[order], project[:, order]


def sort_python(expand, depthwise, project):
    norm = [sum(abs(v) for v in column) for column in project.T.tolist()]
    order = sorted(range(len(norm)), key=lambda m: -norm[m])
    return [torch.stack([t[m] for m in order]) for t in (expand, depthwise)] + [
        project.index_select(1, torch.tensor(order))
    ]


def sort_ascending(expand, depthwise, project):
    order = project.abs().sum(0).argsort()
    return expand[order], depthwise[order], project[:, order]


def sort_by_expand(expand, depthwise, project):
    order = expand.abs().sum(1).argsort(descending=True)
    return expand[order], depthwise[order], project[:, order]


def sort_without_abs(expand, depthwise, project):
    order = project.sum(0).argsort(descending=True)
    return expand[order], depthwise[order], project[:, order]


def sort_forgot_depthwise(expand, depthwise, project):
    order = project.abs().sum(0).argsort(descending=True)
    return expand[order], depthwise, project[:, order]


def sort_every_weight(expand, depthwise, project):
    return expand.sort(0, descending=True)[0], depthwise, project.sort(1, descending=True)[0]


def sort_squared(expand, depthwise, project):
    order = (project**2).sum(0).argsort(descending=True)
    return expand[order], depthwise[order], project[:, order]


def sort_in_place(expand, depthwise, project):
    for tensor, new in zip((expand, depthwise, project), sort_argsort(expand, depthwise, project)):
        tensor.copy_(new)
    return expand, depthwise, project


# ---- 1.3 -----------------------------------------------------------------------------------------


def count_product(resolutions, stages):
    return resolutions * math.prod(sum((k * e) ** d for d in depths) for depths, k, e in stages)


def count_recursive(resolutions, stages):
    if not stages:
        return resolutions
    (depths, k, e), *rest = stages
    return sum(k**d * e**d * count_recursive(resolutions, rest) for d in depths)


def count_in_decimals(resolutions, stages):
    total = Decimal(resolutions)
    for depths, kernels, expands in stages:
        total *= sum(Decimal(kernels * expands) ** depth for depth in depths)
    return total


def count_deepest_only(resolutions, stages):
    return resolutions * math.prod((k * e) ** max(depths) for depths, k, e in stages)


def count_adds_stages(resolutions, stages):
    return resolutions * sum((k * e) ** d for depths, k, e in stages for d in depths)


def count_same_blocks(resolutions, stages):
    return resolutions * math.prod(len(depths) * k * e for depths, k, e in stages)


def count_kernel_plus_expand(resolutions, stages):
    return resolutions * math.prod(sum((k + e) ** d for d in depths) for depths, k, e in stages)


def count_forgets_resolution(resolutions, stages):
    return math.prod(sum((k * e) ** d for d in depths) for depths, k, e in stages)


def count_in_floats(resolutions, stages):
    return float(count_product(resolutions, stages))


# ---- 1.4 -----------------------------------------------------------------------------------------


def stats_by_hand(batches):
    means = torch.stack([batch.mean((0, 2, 3)) for batch in batches])
    variances = torch.stack([batch.var((0, 2, 3)) for batch in batches])
    return means.mean(0), variances.mean(0)


def stats_by_torch(batches):
    norm = nn.BatchNorm2d(batches[0].shape[1], momentum=None).train()
    for batch in batches:
        norm(batch)
    return norm.running_mean, norm.running_var


def stats_biased(batches):
    mean = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    return mean, torch.stack([b.var((0, 2, 3), unbiased=False) for b in batches]).mean(0)


def stats_pooled(batches):
    x = torch.cat(batches)
    return x.mean((0, 2, 3)), x.var((0, 2, 3))


def stats_moving(batches):
    norm = nn.BatchNorm2d(batches[0].shape[1])
    for batch in batches:
        norm(batch)
    return norm.running_mean, norm.running_var


def stats_over_batch_axis(batches):
    return (
        torch.stack([b.mean(0) for b in batches]).mean(0),
        torch.stack([b.var(0) for b in batches]).mean(0),
    )


def stats_deviation(batches):
    mean, variance = stats_by_hand(batches)
    return mean, variance.sqrt()


def stats_last(batches):
    return stats_by_hand(batches[-1:])


def stats_zeroes_the_batches(batches):
    stats = stats_by_hand(batches)
    for batch in batches:
        batch.zero_()
    return stats


def stats_empties_the_list(batches):
    stats = stats_by_hand(batches)
    batches.clear()
    return stats


# ---- 1.5 -----------------------------------------------------------------------------------------


@torch.no_grad()
def model_momentum_none(model, batches):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    model.train()
    for batch in batches:
        model(batch)
    model.eval()


def model_momentum_by_step(model, batches):
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
    for step, batch in enumerate(batches, start=1):
        for norm in norms:
            norm.momentum = 1 / step
        with torch.no_grad():
            model(batch)
    model.eval()


def model_forgot_reset(model, batches):
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = None
    model.train()
    for b in batches:
        model(b)
    model.eval()


def model_forgot_train(model, batches):
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.reset_running_stats()
            m.momentum = None
    for b in batches:
        model(b)


def model_default_momentum(model, batches):
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.reset_running_stats()
    model.train()
    for b in batches:
        model(b)
    model.eval()


def _recalibrated(model, norms, batches):
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    with torch.no_grad():
        for batch in batches:
            model(batch)
    model.eval()


def model_two_norms(model, batches):
    _recalibrated(model, (model[0][1], model[1][1]), batches)


def model_first_two_norms(model, batches):
    _recalibrated(model, [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)][:2], batches)


def model_one_norm_a_block(model, batches):
    _recalibrated(
        model, [m for block in model for m in block if isinstance(m, nn.BatchNorm2d)], batches
    )


def model_stays_in_training(model, batches):
    model_momentum_none(model, batches)
    model.train()


def model_trains(model, batches):
    model_momentum_none(model, batches)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model(batches[0]).sum().backward()
    optimizer.step()
    model.eval()


def model_one_batch(model, batches):
    model_momentum_none(model, batches[:1])


def model_pooled(model, batches):
    model_momentum_none(model, [torch.cat(batches)])


RIGHT = {
    "1.1": [kernel_linear, kernel_einsum, kernel_crop_numpy],
    "1.2": [sort_argsort, sort_python],
    "1.3": [count_product, count_recursive, count_in_decimals],
    "1.4": [stats_by_hand, stats_by_torch],
    "1.5": [model_momentum_none, model_momentum_by_step],
}
WRONG = {
    "1.1": [
        kernel_corner,
        kernel_off_by_one,
        kernel_no_transform,
        kernel_transposed,
        kernel_columns_first,
        kernel_flat,
        kernel_four_channels,
        kernel_into_the_large_one,
    ],
    "1.2": [
        sort_ascending,
        sort_by_expand,
        sort_without_abs,
        sort_forgot_depthwise,
        sort_every_weight,
        sort_squared,
        sort_in_place,
    ],
    "1.3": [
        count_deepest_only,
        count_adds_stages,
        count_same_blocks,
        count_kernel_plus_expand,
        count_forgets_resolution,
        count_in_floats,
    ],
    "1.4": [
        stats_biased,
        stats_pooled,
        stats_moving,
        stats_over_batch_axis,
        stats_deviation,
        stats_last,
        stats_zeroes_the_batches,
        stats_empties_the_list,
    ],
    "1.5": [
        model_forgot_reset,
        model_forgot_train,
        model_default_momentum,
        model_stays_in_training,
        model_trains,
        model_one_batch,
        model_pooled,
        model_two_norms,
        model_first_two_norms,
        model_one_norm_a_block,
    ],
}
