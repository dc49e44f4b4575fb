import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data.record import DataError
from labkit.data.splits import SPLITS, held_out_of_class, split_by_content, split_by_position

CLASSES = ("ant", "bee", "cat")


def test_splits_by_position_never_change():
    # A contract with every weights file and pair that was ever made: another split leaks training
    # into validation.
    frozen = ["7951961e7d621397", "a1ab298e41493fef", "01a8615c74244660"]
    parts = split_by_position(np.arange(60_000) % 10)
    assert [
        hashlib.sha256(part.astype("<i8").tobytes()).hexdigest()[:16] for part in parts
    ] == frozen


def test_splits_by_position_are_stratified_and_cover_everything():
    for labels, held_out in ((np.repeat(np.arange(10), 6000), 500), (np.arange(50_000) % 100, 50)):
        train, *parts = split_by_position(labels, 3)
        assert sorted(np.concatenate([train, *parts]).tolist()) == list(range(len(labels)))
        for part in parts:
            assert set(np.bincount(labels[part])) == {held_out}


def test_what_is_held_out_is_a_tenth_and_bounded():
    assert held_out_of_class(3, 2) == 1 and held_out_of_class(99, 2) == 9
    assert held_out_of_class(100_000, 2) == 2500 and held_out_of_class(100_000, 20_000) == 1


def digests_of(contents) -> np.ndarray:
    digests = [hashlib.sha256(str(content).encode()).digest()[:16] for content in contents]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)


def by_content(contents, labels, parts=None):
    """The contents of each split."""
    contents, labels = np.array(contents), np.array(labels)
    parts = np.array(["all"] * len(labels) if parts is None else parts)
    split = split_by_content(labels, digests_of(contents), parts, CLASSES)
    return {name: set(contents[rows].tolist()) for name, rows in split.items()}


@settings(max_examples=30, deadline=None)
@given(counts=st.tuples(*[st.integers(4, 60)] * 3), seed=st.integers(0, 99))
def test_content_decides_and_nothing_else(counts, seed):
    labels = np.repeat(np.arange(3), counts)
    contents = np.arange(len(labels)) + 1000 * seed
    splits = by_content(contents, labels)
    assert set(splits) == set(SPLITS)
    assert sorted(content for part in splits.values() for content in part) == contents.tolist()
    label_of = dict(zip(contents.tolist(), labels.tolist()))
    for name in SPLITS[1:]:
        found = np.bincount([label_of[content] for content in splits[name]], minlength=3)
        assert found.tolist() == [max(1, count // 10) for count in counts]
    order = np.random.default_rng(seed).permutation(len(labels))
    assert by_content(contents[order], labels[order]) == splits


def test_images_that_lie_by_class_are_mixed_in_an_order_that_names_do_not_change():
    """Batch norms are recalibrated batch after batch: not with a single class in each."""
    labels, contents = np.repeat(np.arange(3), 400), np.arange(1200)
    everything, order = np.array(["all"] * 1200), np.random.default_rng(0).permutation(1200)
    digests = digests_of(contents)
    rows = split_by_content(labels, digests, everything, CLASSES)
    renamed = split_by_content(labels[order], digests[order], everything, CLASSES)
    for name in SPLITS:
        assert contents[rows[name]].tolist() == contents[order][renamed[name]].tolist()
    for batch in labels[rows["train"]][:800].reshape(8, 100):
        assert np.bincount(batch, minlength=3).min() > 15


def test_an_image_more_moves_hardly_any_other():
    labels, contents = np.repeat(np.arange(3), 100), np.arange(300)
    before = by_content(contents, labels)
    after = by_content([*contents, 999], [*labels, 1])
    moved = sum(len(before[name] - after[name]) for name in SPLITS)
    assert moved <= 3  # one at each boundary between two splits


def test_copies_stay_together():
    contents = [*range(30), *range(30), *range(30)]
    labels = [content % 3 for content in contents]
    splits = by_content(contents, labels)
    assert sum(map(len, splits.values())) == 30  # no content is in two of them


@pytest.mark.parametrize(
    "given_parts", [("train", "val"), ("train", "test"), ("train", "val", "test")]
)
def test_parts_that_are_there_are_used_and_missing_ones_cut_from_train(given_parts):
    contents, labels, parts = [], [], []
    for part in given_parts:
        for i in range(60):
            contents.append(f"{part}{i}")
            labels.append(i % 3)
            parts.append(part)
    splits = by_content(contents, labels, parts)
    assert sum(map(len, splits.values())) == len(contents)
    val = splits["val-search"] | splits["val"]
    if "val" in given_parts:
        assert {content[:3] for content in val} == {"val"} and len(splits["val"]) == 30
    else:
        assert {content[:5] for content in val} == {"train"} and len(val) == 2 * 6
    origin = "test" if "test" in given_parts else "train"
    assert all(content.startswith(origin) for content in splits["test"])


def test_too_few_images_of_a_class_are_an_error():
    with pytest.raises(DataError, match="'ant' has 3 different images to train with; at least 4"):
        by_content(range(9), np.repeat(np.arange(3), 3))


def test_a_class_needs_two_images_in_val():
    labels = [*np.repeat(np.arange(3), 20), 0, 0, 1, 1, 2]
    with pytest.raises(DataError, match="class 'cat' has 1 different images in val; at least 2"):
        by_content(range(65), labels, ["train"] * 60 + ["val"] * 5)
