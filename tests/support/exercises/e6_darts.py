"""Answers to the exercises of 06_darts: `RIGHT` must pass, `WRONG` must not."""

import math

import numpy as np
import torch
import torch.nn.functional as F

# ---- 6.1 -----------------------------------------------------------------------------------------


def node_sum(states, alphas, operations):
    weights = F.softmax(alphas, dim=1)
    return sum(
        w * operation(state)
        for state, row, of_edge in zip(states, weights, operations)
        for w, operation in zip(row, of_edge)
    )


def node_stacked(states, alphas, operations):
    outputs = torch.stack(
        [
            torch.stack([operation(state) for operation in of_edge])
            for state, of_edge in zip(states, operations)
        ]
    )
    return torch.einsum("eo,eonchw->nchw", alphas.softmax(-1), outputs)


def node_by_hand(states, alphas, operations):
    node = torch.zeros_like(states[0])
    for e in range(len(states)):
        strengths = torch.exp(alphas[e])
        for o, operation in enumerate(operations[e]):
            node = node + strengths[o] / strengths.sum() * operation(states[e])
    return node


def node_unnormalized(states, alphas, operations):
    outputs = [
        torch.stack([operation(state) for operation in of_edge])
        for state, of_edge in zip(states, operations)
    ]
    exponentials = alphas.exp()
    return sum(
        (row[:, None, None, None, None] * y).sum(0) / row.sum()
        for row, y in zip(exponentials, outputs)
    )


def node_without_softmax(states, alphas, operations):
    return sum(
        w * operation(state)
        for state, row, of_edge in zip(states, alphas, operations)
        for w, operation in zip(row, of_edge)
    )


def node_wrong_axis(states, alphas, operations):
    weights = alphas.softmax(0)
    return sum(
        weights[e, o] * operations[e][o](states[e])
        for e in range(len(states))
        for o in range(alphas.shape[1])
    )


def node_one_softmax(states, alphas, operations):
    weights = alphas.flatten().softmax(0).view_as(alphas)
    return sum(
        weights[e, o] * operations[e][o](states[e])
        for e in range(len(states))
        for o in range(alphas.shape[1])
    )


def node_mean_of_edges(states, alphas, operations):
    return node_sum(states, alphas, operations) / len(states)


def node_mean_of_operations(states, alphas, operations):
    return node_sum(states, alphas, operations) / alphas.shape[1]


def node_detached(states, alphas, operations):
    return node_sum(states, alphas.detach(), operations)


def node_weights_as_numbers(states, alphas, operations):
    return sum(
        w.item() * operation(state)
        for state, row, of_edge in zip(states, alphas.softmax(-1), operations)
        for w, operation in zip(row, of_edge)
    )


def node_half_detached(states, alphas, operations):
    weights = alphas.exp() / alphas.exp().sum(1, keepdim=True).detach()
    return sum(
        weights[e, o] * operations[e][o](states[e])
        for e in range(len(states))
        for o in range(alphas.shape[1])
    )


def node_strongest_only(states, alphas, operations):
    return sum(
        of_edge[int(row.argmax())](state) for state, row, of_edge in zip(states, alphas, operations)
    )


def node_first_state(states, alphas, operations):
    return node_sum([states[0]] * len(states), alphas, operations)


def node_skips_none(states, alphas, operations):
    return node_sum(states, alphas[:, 1:], [of_edge[1:] for of_edge in operations])


def node_concatenated(states, alphas, operations):
    return torch.cat(
        [
            node_sum([state], alphas[e : e + 1], operations[e : e + 1])
            for e, state in enumerate(states)
        ],
        1,
    )


def node_operations_without_gradient(states, alphas, operations):
    with torch.no_grad():
        outputs = [[o(x) for o in of_edge] for x, of_edge in zip(states, operations)]
    return sum(w * y for row, ys in zip(alphas.softmax(-1), outputs) for w, y in zip(row, ys))


def node_states_detached(states, alphas, operations):
    return node_sum([state.detach() for state in states], alphas, operations)


def node_first_operations_for_all(states, alphas, operations):
    """Every edge runs the operations of the first."""
    return node_sum(states, alphas, [operations[0]] * len(states))


def node_two_edges(states, alphas, operations):
    return node_sum(states[:2], alphas[:2], operations[:2])


# ---- 6.2 -----------------------------------------------------------------------------------------


def product_central(gradient, weights, direction):
    norm = np.linalg.norm(direction)
    if norm == 0:
        return np.zeros_like(gradient(weights))
    epsilon = 0.01 / norm
    return (gradient(weights + epsilon * direction) - gradient(weights - epsilon * direction)) / (
        2 * epsilon
    )


def product_unit_vector(gradient, weights, direction):
    length = math.sqrt(sum(v * v for v in direction.tolist()))
    unit = direction / length if length else direction
    minus, plus = gradient(weights - 0.01 * unit), gradient(weights + 0.01 * unit)
    return length * (plus - minus) / 0.02


def product_in_place(gradient, weights, direction):
    epsilon = 0.01 / max(np.sqrt(direction @ direction), 1e-30)
    weights += epsilon * direction
    plus = gradient(weights)
    weights -= 2 * epsilon * direction
    minus = gradient(weights)
    weights += epsilon * direction
    return ((plus - minus) / (2 * epsilon)).tolist()


def product_with_torch(gradient, weights, direction):
    w, v = torch.tensor(weights), torch.tensor(direction)
    if not v.any():
        return 0 * gradient(weights)
    epsilon = 0.01 / v.norm()
    plus, minus = (torch.tensor(gradient(w + sign * epsilon * v)) for sign in (1, -1))
    return (plus - minus) / (2 * epsilon)


def product_one_sided(gradient, weights, direction):
    norm = np.linalg.norm(direction)
    if norm == 0:
        return np.zeros_like(gradient(weights))
    epsilon = 0.01 / norm
    return (gradient(weights + epsilon * direction) - gradient(weights)) / epsilon


def product_single_epsilon(gradient, weights, direction):
    return 2 * product_central(gradient, weights, direction)


def product_not_divided(gradient, weights, direction):
    norm = np.linalg.norm(direction)
    if norm == 0:
        return np.zeros_like(gradient(weights))
    epsilon = 0.01 / norm
    return gradient(weights + epsilon * direction) - gradient(weights - epsilon * direction)


def product_fixed_epsilon(gradient, weights, direction):
    epsilon = 0.01
    return (gradient(weights + epsilon * direction) - gradient(weights - epsilon * direction)) / (
        2 * epsilon
    )


def product_norm_of_weights(gradient, weights, direction):
    epsilon = 0.01 / np.linalg.norm(weights)
    return (gradient(weights + epsilon * direction) - gradient(weights - epsilon * direction)) / (
        2 * epsilon
    )


def product_largest_entry(gradient, weights, direction):
    if not direction.any():
        return np.zeros_like(gradient(weights))
    epsilon = 0.01 / np.abs(direction).max()
    return (gradient(weights + epsilon * direction) - gradient(weights - epsilon * direction)) / (
        2 * epsilon
    )


def product_of_unit_vector(gradient, weights, direction):
    norm = np.linalg.norm(direction)
    if norm == 0:
        return np.zeros_like(gradient(weights))
    unit = direction / norm
    return (gradient(weights + 0.01 * unit) - gradient(weights - 0.01 * unit)) / 0.02


def product_zero_forgotten(gradient, weights, direction):
    epsilon = 0.01 / np.linalg.norm(direction)
    return (gradient(weights + epsilon * direction) - gradient(weights - epsilon * direction)) / (
        2 * epsilon
    )


def product_moves_weights(gradient, weights, direction):
    if not direction.any():
        return np.zeros_like(gradient(weights))
    epsilon = 0.01 / np.linalg.norm(direction)
    weights += epsilon * direction
    plus = gradient(weights)
    weights -= 2 * epsilon * direction
    return (plus - gradient(weights)) / (2 * epsilon)


def product_reversed(gradient, weights, direction):
    return -product_central(gradient, weights, direction)


def product_full_matrix(gradient, weights, direction):
    base = gradient(weights)
    columns = [(gradient(weights + 1e-6 * unit) - base) / 1e-6 for unit in np.eye(len(weights))]
    return np.column_stack(columns) @ direction


def product_zero_is_a_number(gradient, weights, direction):
    return product_central(gradient, weights, direction) if direction.any() else 0.0


def product_three_calls(gradient, weights, direction):
    zeros = np.zeros_like(gradient(weights))
    return product_central(gradient, weights, direction) if direction.any() else zeros


def product_manhattan(gradient, weights, direction):
    if not direction.any():
        return np.zeros_like(gradient(weights))
    epsilon = 0.01 / np.abs(direction).sum()
    return (gradient(weights + epsilon * direction) - gradient(weights - epsilon * direction)) / (
        2 * epsilon
    )


# ---- 6.3 -----------------------------------------------------------------------------------------


def softmax(alphas):
    return np.exp(alphas) / np.exp(alphas).sum(1, keepdims=True)


def derive_zeroed(alphas, names):
    weights = softmax(alphas)
    weights[:, names.index("none")] = 0
    strongest = np.argsort(-weights.max(1))[:2]
    return [(state, names[weights[state].argmax()]) for state in sorted(strongest)]


def derive_sorted(alphas, names):
    edges = []
    for state, row in enumerate(torch.tensor(alphas).softmax(1).tolist()):
        edges.append(max((w, state, name) for w, name in zip(row, names) if name != "none"))
    return [[state, name] for _, state, name in sorted(edges)[-2:]]


def derive_one_by_one(alphas, names):
    weights = {
        (state, name): value
        for state, row in enumerate(softmax(alphas))
        for name, value in zip(names, row)
        if name != "none"
    }
    strongest = []
    while len(strongest) < 2:
        best = max(weights, key=weights.get)
        strongest.append(best)
        weights = {edge: value for edge, value in weights.items() if edge[0] != best[0]}
    return strongest


def derive_none_wins(alphas, names):
    weights = softmax(alphas)
    strongest = np.argsort(-weights.max(1))[:2]
    return [(state, names[weights[state].argmax()]) for state in strongest]


def derive_none_dropped_first(alphas, names):
    column = names.index("none")
    return derive_like(softmax(np.delete(alphas, column, 1)), names[:column] + names[column + 1 :])


def derive_like(weights, names):
    strongest = np.argsort(-weights.max(1))[:2]
    return [(state, names[weights[state].argmax()]) for state in strongest]


def derive_raw(alphas, names):
    column = names.index("none")
    return derive_like(np.delete(alphas, column, 1), names[:column] + names[column + 1 :])


def derive_shifted_names(alphas, names):
    return derive_like(np.delete(softmax(alphas), names.index("none"), 1), names)


def derive_none_first(alphas, names):
    weights = softmax(alphas)
    weights[:, 0] = 0
    return derive_like(weights, names)


def derive_two_operations(alphas, names):
    weights = softmax(alphas)
    weights[:, names.index("none")] = 0
    best = np.argsort(-weights.ravel())[:2]
    return [(i // len(names), names[i % len(names)]) for i in best]


def derive_least_none(alphas, names):
    weights = softmax(alphas)
    strongest = np.argsort(weights[:, names.index("none")])[:2]
    weights[:, names.index("none")] = 0
    return [(state, names[weights[state].argmax()]) for state in strongest]


def derive_weakest(alphas, names):
    weights = softmax(alphas)
    weights[:, names.index("none")] = 0
    return [(state, names[weights[state].argmax()]) for state in np.argsort(weights.max(1))[:2]]


def derive_over_edges(alphas, names):
    weights = softmax(alphas.T).T
    weights[:, names.index("none")] = 0
    return derive_like(weights, names)


def derive_one_edge(alphas, names):
    return derive_zeroed(alphas, names)[:1]


def derive_names_only(alphas, names):
    return [name for _, name in derive_zeroed(alphas, names)]


def derive_between_states(alphas, names):
    return [(state + 0.5, name) for state, name in derive_zeroed(alphas, names)]


def derive_first_two_edges(alphas, names):
    weights = softmax(alphas)
    weights[:, names.index("none")] = 0
    return [(state, names[weights[state].argmax()]) for state in range(2)]


def derive_by_sum_of_weights(alphas, names):
    """An edge is as strong as all of its operations but `none` are together."""
    weights = softmax(alphas)
    weights[:, names.index("none")] = 0
    strongest = np.argsort(-weights.sum(1))[:2]
    return [(state, names[weights[state].argmax()]) for state in strongest]


def derive_all_edges(alphas, names):
    weights = softmax(alphas)
    weights[:, names.index("none")] = 0
    return [(state, names[row.argmax()]) for state, row in enumerate(weights)]


# ---- 6.4 -----------------------------------------------------------------------------------------


def latency_numpy(alphas, latencies):
    total, gradients = 0.0, []
    for a, t in zip(alphas, latencies):
        p = np.exp(a - a.max())
        p = p / p.sum()
        mean = (p * t).sum()
        total += mean
        gradients.append(p * (t - mean))
    return total, gradients


def latency_autograd(alphas, latencies, dtype=torch.float64):
    leaves = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in alphas]
    total = sum(
        leaf.softmax(0) @ torch.tensor(t, dtype=dtype) for leaf, t in zip(leaves, latencies)
    )
    return total, list(torch.autograd.grad(total, leaves))


def latency_float32(alphas, latencies):
    return latency_autograd(alphas, latencies, dtype=torch.float32)


def latency_longdouble(alphas, latencies):
    """With more digits than Python's numbers have."""
    total, gradients = np.longdouble(0), []
    for a, t in zip(alphas, latencies):
        e = np.exp(np.asarray(a, dtype=np.longdouble) - a.max())
        p = e / e.sum()
        mean = (p * t).sum()
        total += mean
        gradients.append(p * (t - mean))
    return total, gradients


def latency_jacobian(alphas, latencies):
    total, gradients = 0, []
    for a, t in zip(alphas, latencies):
        p = np.array([1 / np.exp(np.minimum(a - v, 700)).sum() for v in a])
        total += p @ t
        gradients.append(((np.diag(p) - np.outer(p, p)) @ t).tolist())
    return [float(total), gradients]


def latency_pairs(alphas, latencies):
    ps = [torch.softmax(torch.from_numpy(a), 0).numpy() for a in alphas]
    gradients = [
        [p[j] * sum(p[k] * (t[j] - t[k]) for k in range(len(t))) for j in range(len(t))]
        for p, t in zip(ps, latencies)
    ]
    return sum(float(np.dot(p, t)) for p, t in zip(ps, latencies)), gradients


def latency_overflows(alphas, latencies):
    ps = [np.exp(a) / np.exp(a).sum() for a in alphas]
    return sum(p @ t for p, t in zip(ps, latencies)), [
        p * (t - p @ t) for p, t in zip(ps, latencies)
    ]


def softmaxes(alphas):
    return [np.exp(a - a.max()) / np.exp(a - a.max()).sum() for a in alphas]


def latency_single_terms(alphas, latencies):
    ps = softmaxes(alphas)
    return sum(p @ t for p, t in zip(ps, latencies)), [p * t for p, t in zip(ps, latencies)]


def latency_no_cross_terms(alphas, latencies):
    ps = softmaxes(alphas)
    return sum(p @ t for p, t in zip(ps, latencies)), [
        p * (1 - p) * t for p, t in zip(ps, latencies)
    ]


def latency_of_probabilities(alphas, latencies):
    ps = softmaxes(alphas)
    return sum(p @ t for p, t in zip(ps, latencies)), [t for t in latencies]


def latency_negative(alphas, latencies):
    total, gradients = latency_numpy(alphas, latencies)
    return total, [-g for g in gradients]


def latency_total_mean(alphas, latencies):
    total, _ = latency_numpy(alphas, latencies)
    return total, [p * (t - total) for p, t in zip(softmaxes(alphas), latencies)]


def latency_average(alphas, latencies):
    total, gradients = latency_numpy(alphas, latencies)
    return total / len(alphas), [g / len(alphas) for g in gradients]


def latency_of_strongest(alphas, latencies):
    total, gradients = latency_numpy(alphas, latencies)
    return sum(t[a.argmax()] for a, t in zip(alphas, latencies)), gradients


def latency_unweighted(alphas, latencies):
    total, _ = latency_numpy(alphas, latencies)
    return total, [t - p @ t for p, t in zip(softmaxes(alphas), latencies)]


def latency_total_only(alphas, latencies):
    return latency_numpy(alphas, latencies)[0]


def latency_one_array(alphas, latencies):
    total, gradients = latency_numpy(alphas, latencies)
    return total, np.concatenate(gradients)


def latency_in_place(alphas, latencies):
    total, gradients = 0.0, []
    for a, t in zip(alphas, latencies):
        a -= a.max()
        p = np.exp(a) / np.exp(a).sum()
        total += p @ t
        gradients.append(p * (t - p @ t))
    return total, gradients


def latency_centers_the_latencies(alphas, latencies):
    total, gradients = latency_numpy(alphas, latencies)
    for p, t in zip(softmaxes(alphas), latencies):
        t -= p @ t
    return total, gradients


def latency_mean_subtracted(alphas, latencies):
    """The mean is subtracted before exp, not the largest."""
    with np.errstate(over="ignore", invalid="ignore"):
        return latency_overflows([a - a.mean() for a in alphas], latencies)


def latency_one_softmax_for_all(alphas, latencies):
    joined = np.concatenate(alphas)
    p = np.split(softmaxes([joined])[0], np.cumsum([len(a) for a in alphas])[:-1])
    total = sum(q @ t for q, t in zip(p, latencies))
    return total, [q * (t - total) for q, t in zip(p, latencies)]


RIGHT = {
    "6.1": [node_sum, node_stacked, node_by_hand, node_unnormalized],
    "6.2": [product_central, product_unit_vector, product_in_place, product_with_torch],
    "6.3": [derive_zeroed, derive_sorted, derive_one_by_one],
    "6.4": [
        latency_numpy,
        latency_autograd,
        latency_float32,
        latency_longdouble,
        latency_jacobian,
        latency_pairs,
    ],
}
WRONG = {
    "6.1": [
        node_operations_without_gradient,
        node_states_detached,
        node_first_operations_for_all,
        node_two_edges,
        node_without_softmax,
        node_wrong_axis,
        node_one_softmax,
        node_mean_of_edges,
        node_mean_of_operations,
        node_detached,
        node_weights_as_numbers,
        node_half_detached,
        node_strongest_only,
        node_first_state,
        node_skips_none,
        node_concatenated,
    ],
    "6.2": [
        product_zero_is_a_number,
        product_three_calls,
        product_manhattan,
        product_one_sided,
        product_single_epsilon,
        product_not_divided,
        product_fixed_epsilon,
        product_norm_of_weights,
        product_largest_entry,
        product_of_unit_vector,
        product_zero_forgotten,
        product_moves_weights,
        product_reversed,
        product_full_matrix,
    ],
    "6.3": [
        derive_first_two_edges,
        derive_by_sum_of_weights,
        derive_all_edges,
        derive_none_wins,
        derive_none_dropped_first,
        derive_raw,
        derive_shifted_names,
        derive_none_first,
        derive_two_operations,
        derive_least_none,
        derive_weakest,
        derive_over_edges,
        derive_one_edge,
        derive_names_only,
        derive_between_states,
    ],
    "6.4": [
        latency_in_place,
        latency_centers_the_latencies,
        latency_mean_subtracted,
        latency_one_softmax_for_all,
        latency_overflows,
        latency_single_terms,
        latency_no_cross_terms,
        latency_of_probabilities,
        latency_negative,
        latency_total_mean,
        latency_average,
        latency_of_strongest,
        latency_unweighted,
        latency_total_only,
        latency_one_array,
    ],
}
