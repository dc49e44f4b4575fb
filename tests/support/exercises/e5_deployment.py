"""Answers to the exercises of 05_specialized_deployment: `RIGHT` must pass, `WRONG` must not."""

import bisect
import itertools
from math import floor

import numpy as np
import torch
from torch import nn

# ---- 5.1 -----------------------------------------------------------------------------------------


def fold_formula(conv, norm):
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = torch.zeros_like(norm.bias) if conv.bias is None else conv.bias
    return conv.weight * factor.view(-1, 1, 1, 1), (bias - norm.running_mean) * factor + norm.bias


def fold_library(conv, norm):
    folded = nn.utils.fusion.fuse_conv_bn_eval(conv, norm)
    return folded.weight, folded.bias


@torch.no_grad()
def fold_numpy(conv, norm):
    gamma, beta, mean, variance = (
        t.numpy() for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    deviation = np.sqrt(variance + norm.eps)
    weight = np.stack(
        [kernel * g / d for kernel, g, d in zip(conv.weight.numpy(), gamma, deviation)]
    )
    bias = beta - gamma * mean / deviation
    if conv.bias is not None:
        bias = bias + gamma * conv.bias.numpy() / deviation
    return weight, bias


@torch.no_grad()
def fold_by_probing(conv, norm):
    """Batch norm is affine for each channel: what it makes of 0 and of 1 says it all."""
    channels = conv.out_channels
    offset = norm(torch.zeros(1, channels, 1, 1)).flatten()
    slope = norm(torch.ones(1, channels, 1, 1)).flatten() - offset
    bias = 0 if conv.bias is None else conv.bias
    return torch.einsum("oikl,o->oikl", conv.weight, slope), offset + slope * bias


def fold_by_variance(conv, norm):
    factor = norm.weight / (norm.running_var + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight * factor.view(-1, 1, 1, 1), (bias - norm.running_mean) * factor + norm.bias


def fold_without_eps(conv, norm):
    factor = norm.weight / torch.sqrt(norm.running_var)
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight * factor.view(-1, 1, 1, 1), (bias - norm.running_mean) * factor + norm.bias


def fold_eps_outside(conv, norm):
    factor = norm.weight / (torch.sqrt(norm.running_var) + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight * factor.view(-1, 1, 1, 1), (bias - norm.running_mean) * factor + norm.bias


def fold_without_gamma(conv, norm):
    factor = 1 / torch.sqrt(norm.running_var + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight * factor.view(-1, 1, 1, 1), (bias - norm.running_mean) * factor + norm.bias


def fold_drops_bias(conv, norm):
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return conv.weight * factor.view(-1, 1, 1, 1), norm.bias - norm.running_mean * factor


def fold_unscaled_bias(conv, norm):
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight * factor.view(-1, 1, 1, 1), bias + norm.bias - norm.running_mean * factor


def fold_unscaled_mean(conv, norm):
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight * factor.view(-1, 1, 1, 1), bias * factor + norm.bias - norm.running_mean


def fold_needs_bias(conv, norm):
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return (
        conv.weight * factor.view(-1, 1, 1, 1),
        (conv.bias - norm.running_mean) * factor + norm.bias,
    )


def fold_input_channels(conv, norm):
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight * factor.view(-1, 1, 1), (bias - norm.running_mean) * factor + norm.bias


@torch.no_grad()
def fold_in_place(conv, norm):
    weight, bias = fold_formula(conv, norm)
    conv.weight.copy_(weight)
    return conv.weight, bias


def fold_into_the_convolution(conv, norm):
    weight, bias = fold_formula(conv, norm)
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return conv.weight, conv.bias


def fold_uses_batch(conv, norm):
    factor = norm.weight / torch.sqrt(conv.weight.var((1, 2, 3)) + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight * factor.view(-1, 1, 1, 1), (bias - norm.running_mean) * factor + norm.bias


def fold_three_by_three(conv, norm):
    weight, bias = fold_formula(conv, norm)
    return weight.reshape(conv.out_channels, -1, 3, 3), bias


def fold_groups_as_one(conv, norm):
    weight, bias = fold_formula(conv, norm)
    return weight.reshape(conv.out_channels, conv.in_channels, *conv.kernel_size), bias


def fold_usual_eps(conv, norm):
    factor = norm.weight / torch.sqrt(norm.running_var + 1e-5)
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight * factor.view(-1, 1, 1, 1), (bias - norm.running_mean) * factor + norm.bias


def fold_no_bias_without_one(conv, norm):
    weight, bias = fold_formula(conv, norm)
    return weight, None if conv.bias is None else bias


def fold_resets_the_norm(conv, norm):
    folded = fold_formula(conv, norm)
    norm.reset_running_stats()
    return folded


# ---- 5.2 -----------------------------------------------------------------------------------------


def quantize_numpy(x, low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    return np.clip(np.round(x / scale) + zero, 0, 255).astype(np.uint8), scale, zero


def quantize_loop(x, low, high):
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    zero = floor(0.5 - low / scale)
    codes = [max(0, min(255, floor(value / scale + zero + 0.5))) for value in x.flat]
    return np.reshape(codes, x.shape), scale, zero


def quantize_torch(x, low, high):
    low, high = min(low, 0.0), max(high, 0.0)
    scale, zero = (high - low) / 255, int(np.rint(-low / ((high - low) / 255)))
    values = torch.fake_quantize_per_tensor_affine(
        torch.tensor(x, dtype=torch.float32), scale, zero, 0, 255
    )
    return (values / scale).round().to(torch.int64) + zero, torch.tensor(scale), torch.tensor(zero)


def quantize_nearest(x, low, high):
    """The nearest of all 256 values, without a formula for the code."""
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    scale = np.float32((high - low) / 255)
    zero = np.int64(np.rint(-low / scale))
    values = (np.arange(256) - zero) * scale
    return np.abs(x[..., None] - values).argmin(-1), scale, zero


def quantize_without_zero(x, low, high):
    scale = (high - low) / 255
    zero = round(-low / scale)
    return np.clip(np.round(x / scale) + zero, 0, 255), scale, zero


def quantize_256_steps(x, low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 256
    zero = round(-low / scale)
    return np.clip(np.round(x / scale) + zero, 0, 255), scale, zero


def quantize_wraps(x, low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    return (np.round(x / scale) + zero).astype(int).astype(np.uint8), scale, zero


def quantize_unclipped(x, low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    return np.round(x / scale) + zero, scale, zero


def quantize_cuts_off(x, low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    return np.clip(x / scale + zero, 0, 255).astype(np.uint8), scale, zero


def quantize_float_zero(x, low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    zero = -low / scale
    return np.clip(np.round(x / scale + zero), 0, 255), scale, zero


def quantize_signed(x, low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    zero = round(-128 - low / scale)
    return np.clip(np.round(x / scale) + zero, -128, 127), scale, zero


def quantize_symmetric(x, low, high):
    scale = 2 * max(abs(low), abs(high)) / 255
    return np.clip(np.round(x / scale) + 128, 0, 255), scale, 128


def quantize_range_of_x(x, low, high):
    return quantize_numpy(x, x.min(), x.max())


def quantize_clips_first(x, low, high):
    codes, scale, zero = quantize_numpy(x, low, high)
    return codes - np.float64(zero), scale, zero


def quantize_wrong_sign(x, low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    zero = round(low / scale)
    return np.clip(np.round(x / scale) - zero, 0, 255), scale, zero


def quantize_matrices_only(x, low, high):
    codes, scale, zero = quantize_numpy(x, low, high)
    return [[codes[i, j] for j in range(x.shape[1])] for i in range(x.shape[0])], scale, zero


def quantize_flat(x, low, high):
    codes, scale, zero = quantize_numpy(x, low, high)
    return codes.ravel(), scale, zero


def quantize_widens_one_side(x, low, high):
    return quantize_numpy(x, min(low, 0), high) if high > 0 else quantize_without_zero(x, low, high)


def quantize_mirrors(x, low, high):
    """A range without 0 is widened to its mirror image."""
    return quantize_numpy(x, low if low <= 0 else -high, high if high >= 0 else -low)


def quantize_range_below_zero(x, low, high):
    """A range that begins at 0 gets room below it."""
    return quantize_numpy(x, min(low, -(high - low) / 255), high)


def quantize_zero_cut_off(x, low, high):
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    zero = int(-low / scale)
    return np.clip(np.round(x / scale) + zero, 0, 255), scale, zero


def quantize_beyond_is_middle(x, low, high):
    codes, scale, zero = quantize_numpy(x, low, high)
    return np.where((x < low) | (x > high), np.uint8(zero), codes), scale, zero


# ---- 5.3 -----------------------------------------------------------------------------------------


def layer_matmul(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(np.int32) - x_zero) @ weight.T.astype(np.int32) + bias
    return np.clip(np.round(sums * multiplier) + y_zero, 0, 255).astype(np.uint8)


def layer_loop(x, x_zero, weight, bias, multiplier, y_zero):
    result = []
    for row in x.tolist():
        codes = []
        for m, of_output in enumerate(weight.tolist()):
            total = int(bias[m])
            for code, w in zip(row, of_output):
                total += (code - x_zero) * w
            codes.append(min(255, max(0, round(total * multiplier[m]) + y_zero)))
        result.append(codes)
    return result


def layer_corrected(x, x_zero, weight, bias, multiplier, y_zero):
    """The zero point's share does not depend on the image, so it can join the bias beforehand."""
    w = weight.astype(np.int64)
    correction = bias - x_zero * w.sum(1)
    sums = np.einsum("nk,mk->nm", x.astype(np.int64), w) + correction
    return np.floor((sums * multiplier + y_zero).clip(0, 255) + 0.5)


def layer_torch(x, x_zero, weight, bias, multiplier, y_zero):
    x, weight = torch.tensor(x).double() - x_zero, torch.tensor(weight).double()
    out = torch.nn.functional.linear(x, weight, torch.tensor(bias).double()) * torch.tensor(
        multiplier
    )
    return (out.round() + y_zero).clamp(0, 255).to(torch.uint8)


def layer_twelve_by_seven(x, x_zero, weight, bias, multiplier, y_zero):
    codes = np.zeros((12, 7))
    for n in range(12):
        for m in range(7):
            total = int(bias[m]) + sum(
                (int(x[n, k]) - x_zero) * int(weight[m, k]) for k in range(96)
            )
            codes[n, m] = min(255, max(0, round(total * multiplier[m]) + y_zero))
    return codes


def layer_first_96_inputs(x, x_zero, weight, bias, multiplier, y_zero):
    return layer_matmul(x[:, :96], x_zero, weight[:, :96], bias, multiplier, y_zero)


def layer_overflows_bytes(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x - np.uint8(x_zero)) @ weight.T + bias
    return np.clip(np.round(sums * multiplier) + y_zero, 0, 255)


def layer_overflows_16(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(np.int16) - x_zero) @ weight.T.astype(np.int16) + bias
    return np.clip(np.round(sums * multiplier) + y_zero, 0, 255)


def layer_forgets_input_zero(x, x_zero, weight, bias, multiplier, y_zero):
    sums = x.astype(int) @ weight.T.astype(int) + bias
    return np.clip(np.round(sums * multiplier) + y_zero, 0, 255)


def layer_forgets_output_zero(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(int) - x_zero) @ weight.T.astype(int) + bias
    return np.clip(np.round(sums * multiplier), 0, 255)


def layer_forgets_bias(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(int) - x_zero) @ weight.T.astype(int)
    return np.clip(np.round(sums * multiplier) + y_zero, 0, 255)


def layer_late_bias(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(int) - x_zero) @ weight.T.astype(int)
    return np.clip(np.round(sums * multiplier) + bias + y_zero, 0, 255)


def layer_zero_before_scale(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(int) - x_zero) @ weight.T.astype(int) + bias + y_zero
    return np.clip(np.round(sums * multiplier), 0, 255)


def layer_wraps(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(int) - x_zero) @ weight.T.astype(int) + bias
    return (np.round(sums * multiplier) + y_zero).astype(int).astype(np.uint8)


def layer_cuts_off(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(int) - x_zero) @ weight.T.astype(int) + bias
    return np.clip(sums * multiplier + y_zero, 0, 255).astype(np.uint8)


def layer_cuts_off_before_zero(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(int) - x_zero) @ weight.T.astype(int) + bias
    return np.clip((sums * multiplier).astype(int) + y_zero, 0, 255).astype(np.uint8)


def layer_unrounded(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(int) - x_zero) @ weight.T.astype(int) + bias
    return np.clip(sums * multiplier + y_zero, 0, 255)


def layer_zero_on_weights(x, x_zero, weight, bias, multiplier, y_zero):
    sums = x.astype(int) @ (weight.T.astype(int) - x_zero) + bias
    return np.clip(np.round(sums * multiplier) + y_zero, 0, 255)


def layer_signed(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(int) - x_zero) @ weight.T.astype(int) + bias
    return np.clip(np.round(sums * multiplier) + y_zero, -128, 127)


def layer_one_scale(x, x_zero, weight, bias, multiplier, y_zero):
    sums = (x.astype(int) - x_zero) @ weight.T.astype(int) + bias
    return np.clip(np.round(sums * multiplier.mean()) + y_zero, 0, 255)


# ---- 5.4 -----------------------------------------------------------------------------------------


def memory_last_use(operators, sizes):
    last = {}
    for t, (inputs, _) in enumerate(operators):
        for name in inputs:
            last[name] = t
    produced = {output for _, output in operators}
    alive = {name for name in sizes if name not in produced}
    peak = 0
    for t, (_, output) in enumerate(operators):
        alive.add(output)
        peak = max(peak, sum(sizes[name] for name in alive))
        alive -= {name for name in alive if last.get(name) == t}
    return peak


def memory_by_step(operators, sizes):
    produced = {output: t for t, (_, output) in enumerate(operators)}
    peaks = []
    for t in range(len(operators)):
        total = 0
        for name, size in sizes.items():
            uses = [u for u, (inputs, _) in enumerate(operators) if name in inputs]
            if produced.get(name, 0) <= t <= (uses[-1] if uses else len(operators)):
                total += size
        peaks.append(total)
    return max(peaks)


def memory_differences(operators, sizes):
    """Add a tensor's size where it appears, take it away after its last use, and sum up."""
    change = [0] * (len(operators) + 1)
    for name, size in sizes.items():
        first = next((t for t, (_, output) in enumerate(operators) if output == name), 0)
        last = max(
            (t for t, (inputs, _) in enumerate(operators) if name in inputs),
            default=len(operators) - 1,
        )
        change[first] += size
        change[last + 1] -= size
    return np.cumsum(change).max()


def memory_counting_readers(operators, sizes):
    """As runtimes do it: a count of the readers that are still to come; at none left, the memory is
    free.
    """
    waiting = dict.fromkeys(sizes, 0)
    for inputs, _ in operators:
        for name in inputs:
            waiting[name] += 1
    used = sum(sizes.values()) - sum(sizes[output] for _, output in operators)
    peak = used
    for inputs, output in operators:
        used += sizes[output]
        peak = max(peak, used)
        for name in inputs:
            waiting[name] -= 1
            if waiting[name] == 0:
                used -= sizes[name]
    return peak


def memory_operator_only(operators, sizes):
    return max(sum(sizes[name] for name in {*inputs, output}) for inputs, output in operators)


def memory_everything(operators, sizes):
    return sum(sizes.values())


def memory_largest_tensor(operators, sizes):
    return max(sizes.values())


def memory_frees_at_first_use(operators, sizes):
    alive, produced = set(), {output for _, output in operators}
    alive |= sizes.keys() - produced
    peak = 0
    for inputs, output in operators:
        alive.add(output)
        peak = max(peak, sum(sizes[name] for name in alive))
        alive -= set(inputs)
    return peak


def memory_frees_before(operators, sizes):
    last = {name: t for t, (inputs, _) in enumerate(operators) for name in inputs}
    alive = sizes.keys() - {output for _, output in operators}
    peak = 0
    for t, (_, output) in enumerate(operators):
        alive = {name for name in alive if last.get(name) != t} | {output}
        peak = max(peak, sum(sizes[name] for name in alive))
    return peak


def memory_counts_before_output(operators, sizes):
    last = {name: t for t, (inputs, _) in enumerate(operators) for name in inputs}
    alive = sizes.keys() - {output for _, output in operators}
    peak = 0
    for t, (_, output) in enumerate(operators):
        peak = max(peak, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last.get(name) != t} | {output}
    return peak


def memory_never_frees_inputs(operators, sizes):
    last = {name: t for t, (inputs, _) in enumerate(operators) for name in inputs}
    network_inputs = sizes.keys() - {output for _, output in operators}
    alive, peak = set(network_inputs), 0
    for t, (_, output) in enumerate(operators):
        alive |= {output}
        peak = max(peak, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last.get(name) != t or name in network_inputs}
    return peak


def memory_forgets_network_inputs(operators, sizes):
    produced = {output for _, output in operators}
    return memory_last_use(
        [([n for n in inputs if n in produced], output) for inputs, output in operators],
        {name: size for name, size in sizes.items() if name in produced},
    )


def memory_drops_results(operators, sizes):
    last = {name: t for t, (inputs, _) in enumerate(operators) for name in inputs}
    alive = sizes.keys() - {output for _, output in operators}
    peak = 0
    for t, (_, output) in enumerate(operators):
        alive |= {output}
        peak = max(peak, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last.get(name, -1) > t}
    return peak


def memory_counts_twice(operators, sizes):
    return max(sum(sizes[name] for name in inputs) + sizes[output] for inputs, output in operators)


def memory_loads_inputs_late(operators, sizes):
    last = {name: t for t, (inputs, _) in enumerate(operators) for name in inputs}
    alive, peak = set(), 0
    for t, (inputs, output) in enumerate(operators):
        alive |= {*inputs, output}
        peak = max(peak, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last.get(name) != t}
    return peak


def memory_sets(operators, sizes):
    """For each operator, what was there before and is needed later."""
    produced = {output for _, output in operators}
    there, totals = set(sizes) - produced, []
    results = set(sizes) - set().union(*(inputs for inputs, _ in operators))
    for t, (_, output) in enumerate(operators):
        there |= {output}
        there &= results.union(*(inputs for inputs, _ in operators[t:])) | {output}
        totals.append(sum(map(sizes.get, there)))
    return max(totals)


def memory_reads_twice_counts_twice(operators, sizes):
    last = {name: t for t, (inputs, _) in enumerate(operators) for name in inputs}
    alive = set(sizes) - {output for _, output in operators}
    peak = 0
    for t, (inputs, output) in enumerate(operators):
        others = alive - set(inputs)
        peak = max(peak, sum(sizes[n] for n in [*inputs, output, *others]))
        alive = {n for n in alive | {output} if last.get(n) != t}
    return peak


def memory_counts_operators_but_subtracts_reads(operators, sizes):
    waiting = {name: sum(name in inputs for inputs, _ in operators) for name in sizes}
    used = sum(sizes.values()) - sum(sizes[output] for _, output in operators)
    peak = used
    for inputs, output in operators:
        used += sizes[output]
        peak = max(peak, used)
        for name in inputs:
            waiting[name] -= 1
            used -= sizes[name] if waiting[name] == 0 else 0
    return peak


def memory_drops_unread_inputs(operators, sizes):
    read = {name for inputs, _ in operators for name in inputs}
    produced = {output for _, output in operators}
    return memory_last_use(operators, {n: s for n, s in sizes.items() if n in read | produced})


def memory_one_input_only(operators, sizes):
    """The network has one input, the first tensor that is read."""
    last = {name: t for t, (inputs, _) in enumerate(operators) for name in inputs}
    alive, peak = {operators[0][0][0]}, 0
    for t, (_, output) in enumerate(operators):
        alive.add(output)
        peak = max(peak, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last.get(name) != t}
    return peak


def memory_at_the_end(operators, sizes):
    read = {name for inputs, _ in operators for name in inputs}
    return sum(size for name, size in sizes.items() if name not in read)


# ---- 5.5 -----------------------------------------------------------------------------------------


def shortlists(stages, limits):
    """For each stage, the configurations that fit and that no other beats in all respects."""
    for stage in stages:
        remaining, shortlist = np.flatnonzero(stage["sram_bytes"] <= limits["sram_bytes"]), []
        while len(remaining):
            shortlist.append(int(remaining[stage["score"][remaining].argmax()]))
            remaining = remaining[
                (stage["latency_ms"][remaining] < stage["latency_ms"][shortlist[-1]])
                | (stage["flash_bytes"][remaining] < stage["flash_bytes"][shortlist[-1]])
            ]
        yield shortlist


def choose_front(global_choices, limits):
    best, choice = -np.inf, None
    for r, stages in enumerate(global_choices):
        short = list(shortlists(stages, limits))

        def total(what, stages=stages, short=short):
            a, b, c = (stage[what][shortlist] for stage, shortlist in zip(stages, short))
            return a[:, None, None] + b[:, None] + c

        score = np.where(
            (total("latency_ms") <= limits["latency_ms"])
            & (total("flash_bytes") <= limits["flash_bytes"]),
            total("score"),
            -np.inf,
        )
        if score.size and score.max() > best:
            best = score.max()
            place = np.unravel_index(score.argmax(), score.shape)
            choice = r, [shortlist[i] for shortlist, i in zip(short, place)]
    return choice


def choose_product(global_choices, limits):
    def candidates():
        for r, stages in enumerate(global_choices):
            rows = [
                [
                    (*(float(stage[n][i]) for n in ("score", "latency_ms", "flash_bytes")), i)
                    for i in shortlist
                ]
                for stage, shortlist in zip(stages, shortlists(stages, limits))
            ]
            for picks in itertools.product(*rows):
                score, latency, flash = (sum(pick[n] for pick in picks) for n in range(3))
                if latency <= limits["latency_ms"] and flash <= limits["flash_bytes"]:
                    yield score, r, [pick[3] for pick in picks]

    return max(candidates())[1:]


def choose_prices(global_choices, limits):
    """What is good at some price of a millisecond and of a byte is worth a closer look."""
    best, choice = -np.inf, None
    for r, stages in enumerate(global_choices):
        short = []
        for stage in stages:
            fits = np.flatnonzero(stage["sram_bytes"] <= limits["sram_bytes"])
            looked = set()
            for ms, byte in itertools.product(
                np.geomspace(1e-5, 1e-2, 8), np.geomspace(1e-8, 1e-5, 8)
            ):
                worth = stage["score"] - ms * stage["latency_ms"] - byte * stage["flash_bytes"]
                looked |= set(fits[np.argsort(-worth[fits])[:6]].tolist())
            short.append(np.array(sorted(looked), dtype=int))
        grid = np.meshgrid(*short, indexing="ij")
        total = {
            what: sum(stage[what][g] for stage, g in zip(stages, grid))
            for what in ("score", "latency_ms", "flash_bytes")
        }
        score = np.where(
            (total["latency_ms"] <= limits["latency_ms"])
            & (total["flash_bytes"] <= limits["flash_bytes"]),
            total["score"],
            -np.inf,
        )
        if score.size and score.max() > best:
            i = score.argmax()
            best, choice = score.max(), (r, np.array([g.ravel()[i] for g in grid]))
    return choice


def choose_staircase(global_choices, limits):
    """Two stages by brute force over shortlists, the third by bisection in what is left of the
    latency.
    """
    best, choice = -np.inf, None
    for r, stages in enumerate(global_choices):
        short = list(shortlists(stages, limits))
        last = sorted(short[2], key=lambda i: stages[2]["latency_ms"][i])
        times = [stages[2]["latency_ms"][i] for i in last]
        for a, b in itertools.product(*short[:2]):
            remaining = {
                n: limits[n] - stages[0][n][a] - stages[1][n][b]
                for n in ("latency_ms", "flash_bytes")
            }
            for c in last[: bisect.bisect_right(times, remaining["latency_ms"])]:
                score = stages[0]["score"][a] + stages[1]["score"][b] + stages[2]["score"][c]
                if score > best and stages[2]["flash_bytes"][c] <= remaining["flash_bytes"]:
                    best, choice = score, [r, [a, b, c]]
    return choice


def choose_cheapest(global_choices, limits):
    stages = global_choices[0]
    return 0, [int((stage["latency_ms"] + stage["flash_bytes"] / 300).argmin()) for stage in stages]


def choose_best_ignoring(*ignored):
    def choose(global_choices, limits):
        return choose_front(global_choices, {**limits, **dict.fromkeys(ignored, np.inf)})

    choose.__name__ = f"choose_ignores_{'_'.join(ignored)}"
    return choose


def choose_adds_sram(global_choices, limits):
    best, choice = -np.inf, None
    for r, stages in enumerate(global_choices):
        short = list(shortlists(stages, limits))
        for picks in itertools.product(*short):
            total = {
                n: sum(stage[n][i] for stage, i in zip(stages, picks)) for n in (*limits, "score")
            }
            if all(total[n] <= limits[n] for n in limits) and total["score"] > best:
                best, choice = total["score"], (r, picks)
    return choice


def choose_equal_shares(global_choices, limits):
    best, choice = -np.inf, None
    for r, stages in enumerate(global_choices):
        picks = []
        for stage in stages:
            fits = stage["sram_bytes"] <= limits["sram_bytes"]
            for what in ("latency_ms", "flash_bytes"):
                share = stage[what].min() / sum(other[what].min() for other in stages)
                fits &= stage[what] <= limits[what] * share
            picks.append(
                int(np.where(fits, stage["score"], -np.inf).argmax()) if fits.any() else None
            )
        if None not in picks and sum(stage["score"][i] for stage, i in zip(stages, picks)) > best:
            best, choice = sum(stage["score"][i] for stage, i in zip(stages, picks)), (r, picks)
    return choice


def choose_stage_by_stage(global_choices, limits):
    """The best configuration that leaves the other stages just enough: greedy, first come, first
    served.
    """
    best, choice = -np.inf, None
    for r, stages in enumerate(global_choices):
        remaining, picks = dict(limits), []
        for s, stage in enumerate(stages):
            fits = stage["sram_bytes"] <= limits["sram_bytes"]
            for what in ("latency_ms", "flash_bytes"):
                fits &= stage[what] <= remaining[what] - sum(
                    other[what].min() for other in stages[s + 1 :]
                )
            if not fits.any():
                break
            picks.append(int(np.where(fits, stage["score"], -np.inf).argmax()))
            remaining = {
                n: remaining[n] - stage[n][picks[-1]] if n != "sram_bytes" else remaining[n]
                for n in remaining
            }
        else:
            score = sum(stage["score"][i] for stage, i in zip(stages, picks))
            if score > best:
                best, choice = score, (r, picks)
    return choice


def choose_random(global_choices, limits):
    rng = np.random.default_rng(0)
    best, choice = -np.inf, None
    for r, stages in enumerate(global_choices):
        picks = [rng.integers(0, len(stage["score"]), 20_000) for stage in stages]
        total = {
            n: sum(stage[n][p] for stage, p in zip(stages, picks))
            for n in ("score", "latency_ms", "flash_bytes")
        }
        sram = np.max([stage["sram_bytes"][p] for stage, p in zip(stages, picks)], axis=0)
        score = np.where(
            (total["latency_ms"] <= limits["latency_ms"])
            & (total["flash_bytes"] <= limits["flash_bytes"])
            & (sram <= limits["sram_bytes"]),
            total["score"],
            -np.inf,
        )
        if score.max() > best:
            best, choice = score.max(), (r, [int(p[score.argmax()]) for p in picks])
    return choice if choice else choose_cheapest(global_choices, limits)


def choose_smallest_global_choice(global_choices, limits):
    return choose_front(global_choices[:1], limits) or choose_cheapest(global_choices, limits)


def choose_largest_global_choice(global_choices, limits):
    choice = choose_front(global_choices[-1:], limits)
    return (
        (len(global_choices) - 1, choice[1]) if choice else choose_cheapest(global_choices, limits)
    )


def choose_but_the_first_global_choice(global_choices, limits):
    choice = choose_front(global_choices[1:], limits)
    return (choice[0] + 1, choice[1]) if choice else choose_cheapest(global_choices, limits)


def choose_but_the_last_global_choice(global_choices, limits):
    return choose_front(global_choices[:-1], limits) or choose_cheapest(global_choices, limits)


def choose_lowest_score(global_choices, limits):
    flipped = [
        [{**stage, "score": -stage["score"]} for stage in stages] for stages in global_choices
    ]
    return choose_front(flipped, limits)


def choose_positions_in_the_shortlist(global_choices, limits):
    r, picks = choose_front(global_choices, limits)
    return r, [
        shortlist.index(i) for shortlist, i in zip(shortlists(global_choices[r], limits), picks)
    ]


def choose_starts_at_zero(global_choices, limits):
    r, picks = choose_front(global_choices, limits)
    return (
        (r, picks)
        if sum(stage["score"][i] for stage, i in zip(global_choices[r], picks)) > 0
        else None
    )


RIGHT = {
    "5.1": [fold_formula, fold_library, fold_numpy, fold_by_probing],
    "5.2": [quantize_numpy, quantize_loop, quantize_torch, quantize_nearest],
    "5.3": [layer_matmul, layer_loop, layer_corrected, layer_torch],
    "5.4": [
        memory_sets,
        memory_last_use,
        memory_by_step,
        memory_differences,
        memory_counting_readers,
    ],
    "5.5": [choose_front, choose_product, choose_prices, choose_staircase],
}
WRONG = {
    "5.1": [
        fold_three_by_three,
        fold_groups_as_one,
        fold_usual_eps,
        fold_no_bias_without_one,
        fold_resets_the_norm,
        fold_by_variance,
        fold_without_eps,
        fold_eps_outside,
        fold_without_gamma,
        fold_drops_bias,
        fold_unscaled_bias,
        fold_unscaled_mean,
        fold_needs_bias,
        fold_input_channels,
        fold_in_place,
        fold_into_the_convolution,
        fold_uses_batch,
    ],
    "5.2": [
        quantize_matrices_only,
        quantize_flat,
        quantize_widens_one_side,
        quantize_mirrors,
        quantize_range_below_zero,
        quantize_zero_cut_off,
        quantize_beyond_is_middle,
        quantize_without_zero,
        quantize_256_steps,
        quantize_wraps,
        quantize_unclipped,
        quantize_cuts_off,
        quantize_float_zero,
        quantize_signed,
        quantize_symmetric,
        quantize_range_of_x,
        quantize_clips_first,
        quantize_wrong_sign,
    ],
    "5.3": [
        layer_overflows_bytes,
        layer_overflows_16,
        layer_forgets_input_zero,
        layer_forgets_output_zero,
        layer_forgets_bias,
        layer_late_bias,
        layer_zero_before_scale,
        layer_wraps,
        layer_cuts_off,
        layer_cuts_off_before_zero,
        layer_unrounded,
        layer_zero_on_weights,
        layer_signed,
        layer_one_scale,
        layer_twelve_by_seven,
        layer_first_96_inputs,
    ],
    "5.4": [
        memory_reads_twice_counts_twice,
        memory_counts_operators_but_subtracts_reads,
        memory_drops_unread_inputs,
        memory_one_input_only,
        memory_at_the_end,
        memory_operator_only,
        memory_everything,
        memory_largest_tensor,
        memory_frees_at_first_use,
        memory_frees_before,
        memory_counts_before_output,
        memory_never_frees_inputs,
        memory_forgets_network_inputs,
        memory_drops_results,
        memory_counts_twice,
        memory_loads_inputs_late,
    ],
    "5.5": [
        choose_cheapest,
        choose_best_ignoring("sram_bytes"),
        choose_best_ignoring("flash_bytes"),
        choose_best_ignoring("latency_ms"),
        choose_adds_sram,
        choose_equal_shares,
        choose_stage_by_stage,
        choose_random,
        choose_smallest_global_choice,
        choose_largest_global_choice,
        choose_but_the_first_global_choice,
        choose_but_the_last_global_choice,
        choose_lowest_score,
        choose_positions_in_the_shortlist,
        choose_starts_at_zero,
    ],
}
