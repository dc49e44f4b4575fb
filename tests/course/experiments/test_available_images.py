"""Images that are here are given out; of others, one sentence says how to get them."""

from types import SimpleNamespace

from labkit.course.experiments.available_images import available_images
from labkit.data.fashion_mnist import DataError


class WithoutImages:
    dataset_record = SimpleNamespace(name="cifar10")

    @property
    def dataset(self):
        raise DataError("put cifar-10-python.tar.gz into the cache")


def test_images_that_are_here_are_the_supernets(capsys):
    images = object()
    assert available_images(SimpleNamespace(dataset=images)) is images
    assert capsys.readouterr().out == ""


def test_of_images_that_are_not_here_one_sentence_says_what_follows(capsys):
    assert available_images(WithoutImages()) is None
    text = capsys.readouterr().out
    assert text.count("\n") == 1 and text.startswith("The images of 'cifar10' are not here")
    assert "is skipped" in text and text.endswith("put cifar-10-python.tar.gz into the cache\n")
