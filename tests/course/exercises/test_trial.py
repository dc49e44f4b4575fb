"""Answers that are right in part: the points of the parts that are right for all inputs."""

import pytest
import torch

from labkit.course.exercises.exercise import Verdict
from labkit.course.exercises.trial import try_answer, worst
from labkit.course.judges.registry import get_exercise


@pytest.mark.parametrize(
    "points, expected, asked",
    [
        ([None, None], None, 2),  # None: a pass
        ([None, 3, None, 2], 2, 4),
        ([3, 0, 2], 0, 2),
        ([0], 0, 1),
        ([2, 2], 2, 2),
    ],
)
def test_what_counts_is_the_input_for_which_the_answer_is_worst(points, expected, asked):
    seen = []

    def verdicts():
        for i, value in enumerate(points):
            seen.append(value)
            yield Verdict(value is None, f"message {i}", points=value or 0)

    verdict = worst(verdicts())
    assert verdict.passed == (expected is None) and len(seen) == asked
    if expected is not None:
        assert verdict.points == expected
        assert verdict.message == f"message {points.index(expected)}"


def recalibrate(model, batches, then_eval=True, momentum=None):
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = momentum
    model.train()
    with torch.no_grad():
        for batch in batches:
            model(batch)
    if then_eval:
        model.eval()


def time_until_sure(middle):
    from statistics import median

    def function(call, clock, warmup, tolerance, least, most):
        for _ in range(warmup):
            call()
        times = []
        while len(times) < most:
            start = clock()
            call()
            times.append((clock() - start) * 1e3)
            m = median(times)
            mad = median(abs(t - m) for t in times)
            if len(times) >= least and 3.6 * mad / len(times) ** 0.5 <= tolerance * m:
                break
        return middle(times), len(times)

    return function


@pytest.mark.parametrize(
    "id, function, points",
    [
        ("1.5", recalibrate, None),
        ("1.5", lambda model, batches: recalibrate(model, batches, then_eval=False), 5),
        ("1.5", lambda model, batches: recalibrate(model, batches, momentum=0.1), 0),
        ("1.5", lambda model, batches: model.eval(), 0),
        ("3.1", time_until_sure(lambda times: sorted(times)[0]), 4),
        ("3.1", time_until_sure(lambda times: sum(times) / len(times)), 4),
        ("3.1", lambda call, clock, *settings: (1.0, 10), 0),
    ],
)
def test_parts_of_the_courses_exercises(id, function, points):
    verdict = try_answer(get_exercise(id), function, seeds=range(6))
    assert verdict.passed == (points is None) and verdict.points == (points or 0), verdict.message


def choice(inputs, rank):
    """Of randomly drawn subnets that meet all limits the one of a rank, best first."""
    import numpy as np

    rng, subnets = np.random.default_rng(0), []
    limits = inputs["limits"]
    for r, stages in enumerate(inputs["global_choices"]):
        for _ in range(3000):
            picks = [int(rng.integers(len(stage["score"]))) for stage in stages]
            spent = {
                name: (max if name == "sram_bytes" else sum)(
                    float(stage[name][i]) for stage, i in zip(stages, picks)
                )
                for name in limits
            }
            if all(spent[name] <= limits[name] for name in limits):
                score = sum(float(stage["score"][i]) for stage, i in zip(stages, picks))
                subnets.append((score, r, picks))
    subnets.sort(reverse=True)
    return 100 - np.exp(-subnets[rank][0]), subnets[rank][1:]


def test_near_the_optimum_is_half_of_the_capstone():
    from labkit.course.exercises.exercise import Outcome
    from labkit.course.exercises.trial import judge
    from labkit.course.judges.capstone import _limits, _optimum, _perturbation

    exercise = get_exercise("5.5")
    for seed in (0, 2):
        optimum = _optimum(_perturbation(seed), _limits(seed)).accuracy
        for rank in (0, -1):
            accuracy, returned = choice(exercise.inputs(seed), rank)
            verdict = judge(exercise, Outcome(list(returned)), seed)
            gap = optimum - accuracy
            expected = 4 if gap <= 0.05 else 2 if gap <= 0.5 else 0
            assert verdict.passed == (expected == 4)
            assert verdict.passed or verdict.points == expected, (gap, verdict)
