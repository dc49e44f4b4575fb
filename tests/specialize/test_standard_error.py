"""Standard errors against the spread of accuracies that chance really gives."""

import numpy as np
import pytest

from labkit.specialize.standard_error import paired_difference, standard_error


def test_an_accuracy_spreads_as_its_standard_error_says():
    """20,000 draws of 400 images, of which each is named rightly with a chance of 0.9."""
    accuracies = np.random.default_rng(0).binomial(400, 0.9, 20_000) / 4
    assert standard_error(90.0, 400) == pytest.approx(accuracies.std(), rel=0.02)


def test_a_difference_on_the_same_images_spreads_as_its_standard_error_says():
    """Two networks that agree on most images: the images are drawn again and again."""
    rng = np.random.default_rng(1)
    hardness = rng.uniform(size=(4000, 500))  # of each image, of each draw
    right, baseline = hardness < 0.9, hardness + rng.normal(0, 0.05, hardness.shape) < 0.85
    differences = 100 * (right.mean(1) - baseline.mean(1))
    errors = [paired_difference(*pair)[1] for pair in zip(right[:200], baseline[:200])]
    assert np.mean(errors) == pytest.approx(differences.std(), rel=0.05)
    unpaired = np.hypot(standard_error(90, 500), standard_error(85, 500))
    assert np.mean(errors) < 0.7 * unpaired


def test_networks_that_answer_alike_differ_by_nothing_for_certain():
    answers = np.random.default_rng(2).random(100) < 0.5
    assert paired_difference(answers, answers) == (0.0, 0.0)


def test_no_error_in_few_images_is_no_certainty():
    assert standard_error(100.0, 60) == standard_error(100 * (1 - 0.5 / 60), 60) > 1.0
    assert standard_error(0.0, 60) == pytest.approx(standard_error(100.0, 60))
