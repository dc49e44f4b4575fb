"""What a wrong answer is told: a slip that is known is named, and any other is not called one."""

import numpy as np
import pytest
from exercises import (
    e1_supernet,
    e2_shrinking,
    e3_latency,
    e4_evolution,
    e4_plain_searches,
    e5_budgets,
    e5_deployment,
    e5_thompson,
    e6_darts,
)

from labkit.course.exercises.trial import try_answer
from labkit.course.judges.registry import get_exercise


def message(id, answer):
    verdict = try_answer(get_exercise(id), answer)
    assert not verdict.passed
    return verdict.message


def nanoseconds_equal_to_compute(layers, peak, bandwidth, overhead):
    """Layers whose two times are equal count as computing, unlike in `where_nanoseconds`."""
    total, compute, memory = e3_latency.where_arrays(layers, peak, bandwidth, overhead)
    return total, 1e3 * compute, 1e3 * memory


FACTOR = "compute and memory are off by a factor of 1000"
NAMED = [
    ("1.5", e1_supernet.model_of_its_own, "still the old ones"),
    ("3.5", e3_latency.where_nanoseconds, FACTOR),
    ("3.5", nanoseconds_equal_to_compute, FACTOR),
    ("3.5", e3_latency.where_seconds, "those are seconds"),
    ("4.6", e4_evolution.select_lists_all, "it should name the smallest"),
    ("5.3", e5_deployment.layer_cuts_off, "a cast to integers cuts off"),
    ("5.3", e5_deployment.layer_cuts_off_before_zero, "a cast to integers cuts off"),
    ("2.1", e2_shrinking.distill_wrong_direction, "KL runs from the teacher to the student"),
    ("2.1", e2_shrinking.distill_no_square, "the factor temperature**2 is missing"),
    ("2.1", e2_shrinking.distill_factor_not_squared, "the factor is temperature**2"),
    ("2.1", e2_shrinking.distill_logits_not_divided, "takes both logits divided by"),
    (
        "2.1",
        e2_shrinking.distill_no_temperature,
        "the temperature is missing: both logits are divided by it",
    ),
    ("2.1", e2_shrinking.distill_without_share, "`share` is missing"),
    ("2.1", e2_shrinking.distill_softmax_over_images, "the softmax is over the images"),
    ("2.1", e2_shrinking.distill_sum, "summed over images"),
    ("5.7", e5_thompson.thompson_draws_again, "best of the other candidates in the same draw"),
]


@pytest.mark.parametrize(
    "id, answer, named", NAMED, ids=[f"{id}-{answer.__name__}" for id, answer, _ in NAMED]
)
def test_a_slip_that_is_known_is_named(id, answer, named):
    assert named in message(id, answer)


def test_a_loss_that_no_slip_gives_has_no_hint():
    def one_more(*arguments):
        return e2_shrinking.distill_kl_div(*arguments) + 1

    assert message("2.1", one_more) == "the loss differs from what is asked by up to 1"


def test_none_is_not_called_nan():
    def history(*arguments):
        best, values = e4_plain_searches.RIGHT["4.3"][0](*arguments)
        return best, [None, *values[1:]]

    assert "the history is None at (0,)" in message("4.3", history)
    assert "None" in message("6.4", lambda alphas, latencies: (None, list(alphas)))
    with np.errstate(all="ignore"):
        assert "overflows" in message("6.4", e6_darts.latency_overflows)
    none_for_inf = np.vectorize(lambda value: value if np.isfinite(value) else None, otypes="O")

    def budgets(*arguments):
        return none_for_inf(e5_budgets.RIGHT["5.6"][0](*arguments)).tolist()

    assert "is None at (" in message("5.6", budgets)
