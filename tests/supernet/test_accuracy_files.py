import itertools
import os

import numpy as np
import pytest
from trained_for_tests import again, trained_copy  # noqa: F401  (a fixture)

from labkit.space.presets import FMNIST
from labkit.storage.npz_file import ArtifactError, read_npz, write_npz
from labkit.storage.provenance import sha256
from labkit.supernet import weights_file
from labkit.supernet.accuracy_files import PAIRS, PREDICTOR
from labkit.supernet.folder import TrainedSupernet, load
from labkit.supernet.weights_file import WEIGHTS


def test_other_weights_make_pairs_stale_and_other_pairs_the_predictor(trained):
    weights = trained.weights_path
    content = weights.read_bytes()
    weights.write_bytes(content + b"\0")
    for read in (lambda: again(trained).pairs, lambda: again(trained).predictor):
        with pytest.raises(
            ArtifactError,
            match=r"npz was made from another supernet.safetensors than .*make it again with"
            r" `labkit measure .*fmnist`",
        ):
            read()
    weights.write_bytes(content)
    genes, accuracy, header, unsearched = again(trained).pairs
    path = trained.path / "pairs.npz"
    write_npz(path, header, {"genes": genes[:-1], "accuracy": accuracy[:-1], **unsearched})
    assert len(again(trained).pairs.genes) == len(genes) - 1
    with pytest.raises(ArtifactError, match="predictor.npz was made from another pairs.npz"):
        again(trained).predictor  # noqa: B018


def other_training(trained, folder):
    """A folder of another training in the same space, sound in itself."""
    folder.mkdir()
    supernet, record = weights_file.load(trained.weights_path)
    weights_file.save(folder / WEIGHTS, supernet, {**record, "date": "another day"})
    inputs = {WEIGHTS: sha256(folder / WEIGHTS)}
    for name in (PAIRS, PREDICTOR):
        with np.load(trained.path / name) as file:
            arrays = {key: file[key] for key in file.files if key != "header"}
        header = getattr(trained, name.removesuffix(".npz")).header
        if name == PAIRS:
            arrays["accuracy"] = arrays["accuracy"] - 1
        write_npz(folder / name, {**header, "inputs": dict(inputs)}, arrays)
        inputs[name] = sha256(folder / name)
    return TrainedSupernet(trained.space, folder)


SWAPS = [
    names
    for count in (1, 2)
    for names in itertools.combinations((WEIGHTS, PAIRS, PREDICTOR), count)
]


@pytest.mark.parametrize("names", SWAPS, ids="+".join)
def test_files_of_two_folders_of_one_space_do_not_mix(trained, tmp_path, names):
    other = other_training(trained, tmp_path / "other")
    assert other.predictor.rmse == trained.predictor.rmse
    assert other.pairs.accuracy[0] == pytest.approx(trained.pairs.accuracy[0] - 1, abs=1e-4)
    for name in names:
        os.replace(trained.path / name, tmp_path / name)
        os.replace(other.path / name, trained.path / name)
        os.replace(tmp_path / name, other.path / name)
    for mixed in (again(trained), again(other)):
        message = f"{mixed.path}/p.*npz was made from another .* than .*make it again with"
        with pytest.raises(ArtifactError, match=message):
            assert mixed.predictor and mixed.posterior


@pytest.mark.parametrize("name", [PAIRS, PREDICTOR])
def test_a_file_that_says_nothing_of_its_origin_is_refused(trained, name):
    with np.load(trained.path / name) as file:
        arrays = {key: file[key] for key in file.files if key != "header"}
    kind = name.removesuffix(".npz")
    write_npz(trained.path / name, {**getattr(trained, kind).header, "inputs": {}}, arrays)
    with pytest.raises(
        ArtifactError, match=rf"{name} was made from another .*\(SHA-256 unrecorded"
    ):
        getattr(again(trained), kind)


@pytest.mark.parametrize("name", ["fmnist", "cifar10"])
def test_shipped_pairs_and_the_predictor_fitted_to_them(name):
    shipped = load(name)
    genes, accuracy, header, unsearched = shipped.pairs
    assert len(genes) >= 1000 and len(np.unique(genes, axis=0)) == len(genes)
    assert header["split"] == "val-search"
    error = np.sqrt(np.mean((shipped.predictor.predict(genes) - accuracy) ** 2))
    assert error < accuracy.std()  # it was fitted to these
    held_out = shipped.predictor.header["held_out"]
    assert (
        held_out["separable"]["rmse"] < held_out["macs-only"]["rmse"] < held_out["constant"]["rmse"]
    )
    # What `on` predicts for archs that nobody chose is not off on average.
    for split, measured in unsearched.items():
        archs = genes[: len(measured)]
        residual = shipped.predictor.on(split).predict(archs) - measured
        error = residual.std(ddof=1) / np.sqrt(len(measured))
        assert abs(residual.mean()) < error
    with pytest.raises(ValueError, match="no shift to 'train', known: val, test"):
        shipped.predictor.on("train")
    assert shipped.predictor.on("val-search") is shipped.predictor
    synthetic = load("ofa-mbv3", predictor="synthetic").predictor
    assert synthetic.on("val") is synthetic


def test_the_posterior_is_the_one_whose_mean_was_written():
    shipped = load("fmnist")
    genes = FMNIST.sample(np.random.default_rng(0), 300)
    np.testing.assert_allclose(
        shipped.posterior.mean(genes), shipped.predictor.predict(genes), atol=1e-3
    )
    with pytest.raises(ArtifactError, match="predictor.npz is missing"):
        load("ofa-mbv3").posterior  # noqa: B018


def test_a_shipped_pair_can_be_measured_again():
    from labkit.supernet.evaluation import Evaluator

    shipped = load("fmnist")
    genes, accuracy, header, _ = shipped.pairs
    evaluator = Evaluator(shipped.supernet, shipped.dataset, header["split"])
    measured = evaluator.accuracy(FMNIST.decode(genes[:1])[0])
    assert abs(measured - accuracy[0]) < 0.1  # five images of 5,000, for another machine's rounding


def test_damaged_files_are_named(trained):
    path = trained.path / "pairs.npz"
    whole = path.read_bytes()
    header = trained.pairs.header
    for content in (whole[: len(whole) // 2], b"", b"not a zip"):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="pairs.npz is not a whole labkit-pairs-3"):
            again(trained).pairs  # noqa: B018
    write_npz(path, {**header, "space": "other"}, {})
    with pytest.raises(ArtifactError, match="for space 'other' .*, not for space 'fmnist'"):
        again(trained).pairs  # noqa: B018
    write_npz(path, {**header, "schema": "labkit-pairs-7"}, {})
    with pytest.raises(ArtifactError, match="labkit-pairs-7"):
        again(trained).pairs  # noqa: B018
    rows = np.zeros((2, FMNIST.num_genes), dtype=np.int8)
    sample = {"val": np.array([50.0]), "test": np.array([50.0])}
    write_npz(path, header, {"genes": rows, "accuracy": np.array([101.0, 50.0]), **sample})
    with pytest.raises(ArtifactError, match="accuracy: want 2 percentages, number 0 is 101.0"):
        again(trained).pairs  # noqa: B018
    for other in (np.array(["90", "91"]), np.array([90.0])):
        write_npz(path, header, {"genes": rows, "accuracy": other, **sample})
        with pytest.raises(ArtifactError, match="accuracy: want 2 percentages, got .* of shape"):
            again(trained).pairs  # noqa: B018
    good = {"genes": rows, "accuracy": np.array([1.0, 50.0]), **sample}
    for wrong, message in (
        ({"val": np.array(50.0)}, "val: want 1 percentages, got float64 of shape"),
        ({"val": np.full(3, 50.0)}, "val: want 2 percentages, got float64 of shape"),
        ({"test": np.array([-1.0])}, "test: want 1 percentages, number 0 is -1.0"),
    ):
        write_npz(path, header, {**good, **wrong})
        with pytest.raises(ArtifactError, match=message):
            again(trained).pairs  # noqa: B018
    for images in (None, {"val-search": 5000, "val": 0, "test": 10_000}):
        write_npz(path, {**header, "images": images}, good)
        with pytest.raises(ArtifactError, match="field header.images.*: want .*labkit measure"):
            again(trained).pairs  # noqa: B018
    write_npz(path, header, {**good, "genes": rows + 9})
    with pytest.raises(ArtifactError, match="gene 1 of row 0 is 9"):
        again(trained).pairs  # noqa: B018
    write_npz(path, header, {**good, "genes": np.array([{}], dtype=object)})
    with pytest.raises(ArtifactError, match="not a whole"):  # an object array would be a pickle
        again(trained).pairs  # noqa: B018
    path.unlink()
    with pytest.raises(ArtifactError, match="missing.*labkit measure"):
        again(trained).pairs  # noqa: B018


def test_a_damaged_predictor_is_named(trained):
    path = trained.path / "predictor.npz"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for content in (b"", whole[: len(whole) // 2], *(_flipped(whole, rng) for _ in range(60))):
        path.write_bytes(content)
        try:
            again(trained).predictor  # noqa: B018
        except ArtifactError as error:
            assert "predictor.npz" in str(error)
    path.write_bytes(whole)
    names = ["base", "stage0", "stage1", "stage2", "kernel"]
    header, arrays = read_npz(path, "labkit-predictor-3", names, "")
    arrays = dict(zip(names, arrays))
    shift = header["shifts"]["val"]
    for field, wrong in (
        ("held_out", {"held_out": None}),
        ("held_out.separable.rmse", {"held_out": {"separable": {"rmse": "small"}}}),
        ("held_out.separable.rmse", {"held_out": {"separable": {"rmse": -0.1}}}),
        ("pairs", {"pairs": float("nan")}),
        ("pairs", {"pairs": True}),
        ("shifts.test", {"shifts": {"val": shift}}),
        ("shifts.val.slope", {"shifts": {"val": {**shift, "slope": 0}, "test": shift}}),
        ("shifts.test.intercept", {"shifts": {"val": shift, "test": {**shift, "intercept": "0"}}}),
        ("shifts.val.images", {"shifts": {"val": {**shift, "images": -1}, "test": shift}}),
    ):
        write_npz(path, {**header, **wrong}, arrays)
        with pytest.raises(
            ArtifactError, match=f"predictor.npz: field header.{field}: want .*labkit measure"
        ):
            again(trained).predictor  # noqa: B018
    one_bad = arrays["stage1"].copy()
    one_bad[
        :, 7
    ] = -50  # of one configuration, which neither the smallest nor the largest subnet has
    for name, wrong, message in (
        ("base", arrays["base"] - 1e6, "predicts from -inf to -inf %"),
        ("stage1", one_bad, "predicts from -.*e.* to 9.* %"),
        ("stage1", one_bad + 100, "predicts from .* to 100 %"),
        ("base", arrays["base"].astype(complex), "want real numbers, got complex128, float"),
        ("kernel", arrays["kernel"][1:], "a kernel of 3 stages takes 11 real numbers, got"),
        ("kernel", -arrays["kernel"], "hyperparameters must be finite and positive"),
    ):
        write_npz(path, header, {**arrays, name: wrong})
        with (
            pytest.raises(ArtifactError, match=f"predictor.npz: {message}"),
            np.errstate(over="ignore"),
        ):
            again(trained).predictor  # noqa: B018
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))  # an array, and no archive of arrays
    with pytest.raises(ArtifactError, match="predictor.npz is not a whole labkit-predictor-3"):
        again(trained).predictor  # noqa: B018


def _flipped(content, rng):
    """`content` with one bit another one."""
    changed = bytearray(content)
    changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
    return bytes(changed)


def test_a_lost_predictor_is_an_error_and_not_a_synthetic_one(trained):
    (trained.path / "predictor.npz").unlink()
    with pytest.raises(ArtifactError, match="fmnist/predictor.npz is missing.*labkit measure"):
        trained.predictor  # noqa: B018
    with pytest.raises(ArtifactError, match="no accuracies were measured"):  # in this space
        load("ofa-proxyless-w1.3").predictor  # noqa: B018
