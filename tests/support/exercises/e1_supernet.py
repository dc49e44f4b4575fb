"""Answers to the exercises of 01_supernet: `RIGHT` must pass, `WRONG` must not."""

import copy
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


def kernel_one_ring_off(weight, transform, size):
    return F.linear(weight[..., 1 : 1 + size, 1 : 1 + size].flatten(1), transform).view(
        -1, 1, size, size
    )


def kernel_transform_in_place(weight, transform, size):
    transform.t_()
    return kernel_linear(weight, transform.T, size)


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


def sort_gathers(expand, depthwise, project):
    _, order = torch.topk(project.abs().sum(dim=0), k=project.shape[1])
    rows = torch.eye(len(order))[order]
    return rows @ expand, torch.einsum("nm,mij->nij", rows, depthwise), project @ rows.T


def sort_by_largest_weight(expand, depthwise, project):
    order = project.abs().amax(0).argsort(descending=True)
    return expand[order], depthwise[order], project[:, order]


def sort_forgot_expand(expand, depthwise, project):
    order = project.abs().sum(0).argsort(descending=True)
    return expand, depthwise[order], project[:, order]


def sort_other_sequence(expand, depthwise, project):
    return sort_argsort(expand, depthwise, project)[::-1]


def sort_twelve_channels(expand, depthwise, project):
    order = project[:, :12].abs().sum(0).argsort(descending=True)
    return expand[order], depthwise[order], project[:, order]


def sort_kernels_of_nine_taps(expand, depthwise, project):
    expand, depthwise, project = sort_argsort(expand, depthwise, project)
    return expand, depthwise.reshape(-1, 3, 3), project


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


def count_every_depth_in_between(resolutions, stages):
    return count_product(
        resolutions,
        [(range(min(d), max(d) + 1), kernels, expands) for d, kernels, expands in stages],
    )


def count_three_stages(resolutions, stages):
    return count_product(resolutions, stages[:3])


def count_one_block_chooses_for_all(resolutions, stages):
    return resolutions * math.prod(sum(k * e for _ in depths) for depths, k, e in stages)


def count_absent_blocks_choose(resolutions, stages):
    return resolutions * math.prod(len(depths) * (k * e) ** max(depths) for depths, k, e in stages)


def count_in_int64(resolutions, stages):
    return int(
        torch.tensor([sum((k * e) ** d for d in depths) for depths, k, e in stages]).prod()
        * resolutions
    )


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


def stats_by_sums(batches):
    mean = variance = 0
    for batch in batches:
        values = batch.double().movedim(1, 0).flatten(1)  # (C, n)
        n = values.shape[1]
        center = values.sum(1) / n
        squares = (values**2).sum(1) - n * center**2
        mean, variance = mean + center / len(batches), variance + squares / (n - 1) / len(batches)
    return mean, variance


def stats_around_the_mean_of_all(batches):
    mean, _ = stats_by_hand(batches)
    squares = [
        ((b - mean[:, None, None]) ** 2).sum((0, 2, 3)) / (b[:, 0].numel() - 1) for b in batches
    ]
    return mean, sum(squares) / len(batches)


def stats_of_batches_of_one_size(batches):
    x = torch.stack(batches)
    return x.mean((0, 1, 3, 4)), x.var((1, 3, 4)).mean(0)


def stats_three_channels(batches):
    return stats_by_hand([batch[:, :3] for batch in batches])


def stats_three_batches(batches):
    means = [batch.mean((0, 2, 3)) for batch in batches]
    variances = [batch.var((0, 2, 3)) for batch in batches]
    return sum(means) / 3, sum(variances) / 3


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


def model_by_hooks(model, batches):
    seen = {m: [] for m in model.modules() if isinstance(m, nn.BatchNorm2d)}
    hooks = [
        norm.register_forward_pre_hook(lambda norm, args: seen[norm].append(args[0].detach()))
        for norm in seen
    ]
    model.train()
    with torch.inference_mode(False), torch.no_grad():
        for batch in batches:
            model(batch)
    for hook in hooks:
        hook.remove()
    for norm, inputs in seen.items():
        mean, variance = stats_by_hand(inputs)
        norm.running_mean.data, norm.running_var.data = mean, variance
    model.eval()


def model_layer_by_layer(model, batches):
    """Each layer behind layers that use their new statistics already."""
    model.eval()
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None
        with torch.no_grad():
            for batch in batches:
                model(batch)
        norm.eval()


def model_of_its_own(model, batches):
    model_momentum_none(copy.deepcopy(model), batches)
    model.eval()


def model_twice_the_first_batch(model, batches):
    model_momentum_none(model, [batches[0], *batches])


RIGHT = {
    "1.1": [kernel_linear, kernel_einsum, kernel_crop_numpy],
    "1.2": [sort_gathers, sort_argsort, sort_python],
    "1.3": [count_product, count_recursive, count_in_decimals],
    "1.4": [stats_by_sums, stats_by_hand, stats_by_torch],
    "1.5": [model_by_hooks, model_momentum_none, model_momentum_by_step],
}
WRONG = {
    "1.1": [
        kernel_one_ring_off,
        kernel_transform_in_place,
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
        sort_by_largest_weight,
        sort_forgot_expand,
        sort_other_sequence,
        sort_twelve_channels,
        sort_kernels_of_nine_taps,
        sort_ascending,
        sort_by_expand,
        sort_without_abs,
        sort_forgot_depthwise,
        sort_every_weight,
        sort_squared,
        sort_in_place,
    ],
    "1.3": [
        count_every_depth_in_between,
        count_three_stages,
        count_one_block_chooses_for_all,
        count_absent_blocks_choose,
        count_in_int64,
        count_deepest_only,
        count_adds_stages,
        count_same_blocks,
        count_kernel_plus_expand,
        count_forgets_resolution,
        count_in_floats,
    ],
    "1.4": [
        stats_around_the_mean_of_all,
        stats_of_batches_of_one_size,
        stats_three_channels,
        stats_three_batches,
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
        model_layer_by_layer,
        model_of_its_own,
        model_twice_the_first_batch,
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
