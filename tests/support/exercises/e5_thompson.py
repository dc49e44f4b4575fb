"""Answers to exercise 5.7, Thompson sampling: `RIGHT` must pass, `WRONG` must not."""

import numpy as np


def thompson_steps(mean, covariance, noise, measure, steps, rng):
    order = []
    for _ in range(steps):
        draw = rng.multivariate_normal(mean, covariance)
        draw[order] = -np.inf
        i = int(draw.argmax())
        order.append(i)
        gain = covariance[:, i] / (covariance[i, i] + noise)
        mean = mean + gain * (measure(i) - mean[i])
        covariance = covariance - np.outer(gain, covariance[i])
    return order, mean


def thompson_cholesky(mean, covariance, noise, measure, steps, rng):
    """All measurements at once in each step, and draws by a Cholesky factor."""
    order, values = [], []
    after, rest = mean, covariance
    for _ in range(steps):
        factor = np.linalg.cholesky(rest + 1e-10 * np.eye(len(mean)))
        draw = after + factor @ rng.standard_normal(len(mean))
        i = max(set(range(len(mean))) - set(order), key=lambda j: draw[j])
        order.append(i)
        values.append(measure(i) - mean[i])
        total = covariance[np.ix_(order, order)] + noise * np.eye(len(order))
        gain = covariance[:, order] @ np.linalg.inv(total)
        after, rest = mean + gain @ values, covariance - gain @ covariance[order]
    return np.array(order), after.tolist()


def thompson_precision(mean, covariance, noise, measure, steps, rng):
    """By the inverse of the covariance, which a measurement adds to in one entry."""
    precision = np.linalg.inv(covariance)
    weighted, open_ones, order = precision @ mean, list(range(len(mean))), []
    for _ in range(steps):
        believed = np.linalg.inv(precision)
        draw = rng.multivariate_normal(believed @ weighted, (believed + believed.T) / 2)
        i = open_ones.pop(int(draw[open_ones].argmax()))
        order.append(i)
        precision[i, i] += 1 / noise
        weighted[i] += measure(i) / noise
    return order, np.linalg.solve(precision, weighted)


def searching(
    mean,
    covariance,
    noise,
    measure,
    steps,
    rng,
    *,
    draws=lambda mean, covariance, rng: rng.multivariate_normal(mean, covariance),
    again=False,
    pick=np.argmax,
    learns_mean=True,
    learns_covariance=True,
    alone=False,
    noise_of=lambda noise: noise,
):
    """`thompson_steps` with a slip."""
    order = []
    for _ in range(steps):
        draw = draws(mean, covariance, rng).copy()
        if not again:
            draw[order] = -np.inf if pick is np.argmax else np.inf
        i = int(pick(draw))
        order.append(i)
        column = covariance[:, i] * (np.arange(len(mean)) == i if alone else 1)
        gain = column / (covariance[i, i] + noise_of(noise))
        value = measure(i)
        if learns_mean:
            mean = mean + gain * (value - mean[i])
        if learns_covariance:
            covariance = covariance - np.outer(gain, covariance[i])
    return order, mean


def thompson_greedy(*arguments):
    """The best of what is believed, without a draw."""
    return searching(*arguments, draws=lambda mean, covariance, rng: mean)


def thompson_upper_bound(*arguments):
    return searching(
        *arguments, draws=lambda mean, covariance, rng: mean + 2 * np.sqrt(np.diag(covariance))
    )


def thompson_independent_draws(*arguments):
    """Each candidate's draw for itself."""
    return searching(
        *arguments,
        draws=lambda mean, covariance, rng: rng.normal(mean, np.sqrt(np.diag(covariance))),
    )


def thompson_variances_as_deviations(*arguments):
    return searching(
        *arguments,
        draws=lambda mean, covariance, rng: rng.multivariate_normal(mean, covariance @ covariance),
    )


def thompson_draws_without_mean(*arguments):
    return searching(
        *arguments,
        draws=lambda mean, covariance, rng: rng.multivariate_normal(0 * mean, covariance),
    )


def thompson_random(*arguments):
    return searching(*arguments, draws=lambda mean, covariance, rng: rng.random(len(mean)))


def thompson_wide_draws(*arguments):
    return searching(
        *arguments,
        draws=lambda mean, covariance, rng: rng.multivariate_normal(mean, 2 * covariance),
    )


def thompson_mean_of_ten_draws(*arguments):
    return searching(
        *arguments,
        draws=lambda mean, covariance, rng: rng.multivariate_normal(mean, covariance, 10).mean(0),
    )


def thompson_one_draw(mean, covariance, noise, measure, steps, rng):
    """One function is drawn, and its best candidates are measured one after another."""
    draw = rng.multivariate_normal(mean, covariance)
    return searching(
        mean, covariance, noise, measure, steps, rng, draws=lambda mean, covariance, rng: draw
    )


def thompson_another_generator(*arguments):
    return searching(
        *arguments,
        draws=lambda mean, covariance, rng: np.random.default_rng(0).multivariate_normal(
            mean, covariance
        ),
    )


def thompson_global_generator(*arguments):
    return searching(
        *arguments,
        draws=lambda mean, covariance, rng: np.random.multivariate_normal(mean, covariance),
    )


def thompson_measures_again(*arguments):
    return searching(*arguments, again=True)


def thompson_worst(*arguments):
    return searching(*arguments, pick=np.argmin)


def thompson_learns_nothing(*arguments):
    return searching(*arguments, learns_mean=False, learns_covariance=False)


def thompson_stays_as_unsure(*arguments):
    return searching(*arguments, learns_covariance=False)


def thompson_learns_of_one(*arguments):
    """A measurement says nothing of other candidates."""
    return searching(*arguments, alone=True)


def thompson_without_noise(*arguments):
    return searching(*arguments, noise_of=lambda noise: 0.0)


def thompson_noise_squared(*arguments):
    return searching(*arguments, noise_of=lambda noise: noise**2)


def thompson_old_draws(mean, covariance, noise, measure, steps, rng):
    """Draws from what was believed at first; what was measured counts in the end only."""
    first, before = mean, covariance
    return searching(
        mean,
        covariance,
        noise,
        measure,
        steps,
        rng,
        draws=lambda mean, covariance, rng: rng.multivariate_normal(first, before),
    )


def thompson_draws_again(mean, covariance, noise, measure, steps, rng):
    """Draws until the best is a candidate that is not measured yet."""
    order = []
    for _ in range(steps):
        for _t in range(10000):
            i = int(rng.multivariate_normal(mean, covariance).argmax())
            if i not in order:
                break
        order.append(i)
        gain = covariance[:, i] / (covariance[i, i] + noise)
        mean = mean + gain * (measure(i) - mean[i])
        covariance = covariance - np.outer(gain, covariance[i])
    return order, mean


def thompson_one_step_more(mean, covariance, noise, measure, steps, rng):
    return searching(mean, covariance, noise, measure, steps + 1, rng)


def thompson_measures_twice(mean, covariance, noise, measure, steps, rng):
    return searching(mean, covariance, noise, lambda i: (measure(i) + measure(i)) / 2, steps, rng)


def thompson_best_only(*arguments):
    order, mean = thompson_steps(*arguments)
    return int(np.argmax(mean)), mean


def thompson_sorted_order(*arguments):
    order, mean = thompson_steps(*arguments)
    return sorted(order, reverse=True), mean


def thompson_values(mean, covariance, noise, measure, steps, rng):
    values = []

    def noted(i):
        values.append(measure(i))
        return values[-1]

    order, mean = thompson_steps(mean, covariance, noise, noted, steps, rng)
    return order, values


def thompson_order_only(*arguments):
    return thompson_steps(*arguments)[0]


def thompson_in_place(mean, covariance, noise, measure, steps, rng):
    order = []
    for _ in range(steps):
        draw = rng.multivariate_normal(mean, covariance)
        draw[order] = -np.inf
        i = int(draw.argmax())
        order.append(i)
        gain = covariance[:, i] / (covariance[i, i] + noise)
        mean += gain * (measure(i) - mean[i])
        covariance -= np.outer(gain, covariance[i].copy())
    return order, mean


def thompson_three_candidates(mean, covariance, noise, measure, steps, rng):
    order, after = thompson_steps(mean[:3], covariance[:3, :3], noise, measure, min(steps, 3), rng)
    return order, np.r_[after, mean[3:]]


RIGHT = {"5.7": [thompson_steps, thompson_cholesky, thompson_precision]}
WRONG = {
    "5.7": [
        thompson_greedy,
        thompson_upper_bound,
        thompson_independent_draws,
        thompson_variances_as_deviations,
        thompson_draws_without_mean,
        thompson_random,
        thompson_wide_draws,
        thompson_mean_of_ten_draws,
        thompson_one_draw,
        thompson_another_generator,
        thompson_global_generator,
        thompson_measures_again,
        thompson_worst,
        thompson_learns_nothing,
        thompson_stays_as_unsure,
        thompson_learns_of_one,
        thompson_without_noise,
        thompson_noise_squared,
        thompson_old_draws,
        thompson_draws_again,
        thompson_one_step_more,
        thompson_measures_twice,
        thompson_best_only,
        thompson_sorted_order,
        thompson_values,
        thompson_order_only,
        thompson_in_place,
        thompson_three_candidates,
    ]
}
