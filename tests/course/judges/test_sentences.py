"""Every sentence of an exercise's text has an input that tells apart an answer which ignores it."""

import json
from pathlib import Path

import pytest
from answers_for_tests import RIGHT, WRONG
from sentences_for_tests import demands, texts_of_exercises

TEXTS = texts_of_exercises()
# Exercise id -> words of its text -> the wrong answers that ignore what these say, or a reason why
# no wrong answer of the bank does.
SENTENCES = json.loads(
    (Path(__file__).parents[2] / "support" / "sentences.json").read_text(encoding="utf-8")
)


def names(answers):
    return {answer.__name__ for answer in answers}


@pytest.mark.parametrize("id", TEXTS)
def test_every_demand_is_ignored_by_a_wrong_answer(id):
    listed = SENTENCES[id]
    stale = [words for words in listed if words not in TEXTS[id]]
    assert not stale, "the text does not say so any more"
    unlisted = [
        demand for demand in demands(TEXTS[id]) if not any(words in demand for words in listed)
    ]
    assert not unlisted, "no wrong answer is said to ignore this"


@pytest.mark.parametrize("id", TEXTS)
def test_every_wrong_answer_ignores_something_that_the_text_says(id):
    ignoring = {
        name for ignored in SENTENCES[id].values() if isinstance(ignored, list) for name in ignored
    }
    assert ignoring == names(WRONG[id]) and not ignoring & names(RIGHT[id])


def test_sentences_belong_to_exercises():
    assert set(SENTENCES) == set(TEXTS)
    assert all(SENTENCES[id][words] for id in SENTENCES for words in SENTENCES[id])
