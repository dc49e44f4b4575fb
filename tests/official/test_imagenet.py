"""On small folders in ImageNet's layout, against plain torchvision and the extracted subnet."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from labkit.data.datasets import DataError
from labkit.official import imagenet
from labkit.space import SearchSpace, Stage
from labkit.space.presets import get_space
from labkit.supernet.evaluation import recalibrate
from labkit.supernet.supernet import Supernet

CLASSES = [f"n{i:08d}" for i in range(6)]
SPACE = SearchSpace(
    "six-classes",
    (32, 48),
    (Stage(8, 2, (1, 2), expands=(2, 3)), Stage(16, 2, (1, 2), se=True)),
    in_channels=3,
    num_classes=6,
    stem_width=8,
    final_width=32,
)


def picture(rng: np.random.Generator, path: Path) -> None:
    """Color noise with a tendency, of an odd size, so that resizing and cropping have something to
    do.
    """
    height, width = rng.integers(50, 90, 2)
    pixels = (
        rng.normal(rng.uniform(60, 190, 3), 40, (height, width, 3)).clip(0, 255).astype(np.uint8)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for half, count in (("train", 8), ("val", 5)):
        for name in CLASSES:
            for i in range(count):
                picture(rng, tmp_path / half / name / f"{name}_{i}.JPEG")
    return tmp_path


@pytest.fixture
def supernet() -> Supernet:
    torch.manual_seed(1)
    supernet = Supernet(SPACE)
    for name, parameter in supernet.named_parameters():
        if name.endswith("1.weight"):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    torch.nn.init.normal_(supernet.classifier.weight)
    return supernet.requires_grad_(False)


def test_validation_images_are_torchvisions(folder):
    """Resize so that the crop is 87.5 % of it, center crop, normalize: the usual evaluation."""
    reference = transforms.Compose(
        [
            transforms.Resize(math.ceil(48 / 0.875)),
            transforms.CenterCrop(48),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    batches = list(imagenet.ImageNet(folder, 6).validation(48, batch=7, workers=0))
    images, labels = (torch.cat(parts) for parts in zip(*batches))
    files = sorted((folder / "val").glob("*/*.JPEG"))
    assert (
        labels.tolist() == [CLASSES.index(file.parent.name) for file in files] and len(files) == 30
    )
    expected = torch.stack([reference(Image.open(file).convert("RGB")) for file in files])
    torch.testing.assert_close(images, expected)


def test_a_limit_is_spread_over_the_classes(folder):
    labels = torch.cat(
        [y for _, y in imagenet.ImageNet(folder, 6).validation(32, images=12, workers=0)]
    )
    assert len(labels) == 12 and set(labels.tolist()) == set(range(6))


def test_calibration_is_a_function_of_the_seed(folder):
    def images(seed: int, workers: int = 0, batch: int = 10) -> torch.Tensor:
        return torch.cat(
            list(
                imagenet.ImageNet(folder, 6).calibration(
                    32, images=20, seed=seed, batch=batch, workers=workers
                )
            )
        )

    state = torch.random.get_rng_state()
    first = images(0)
    assert first.shape == (20, 3, 32, 32)
    assert torch.equal(first, images(0)) and torch.equal(first, images(0, workers=1, batch=3))
    assert not torch.equal(first, images(1))
    assert len({image.sum().item() for image in first}) == 20  # no image twice
    assert torch.equal(state, torch.random.get_rng_state())


def test_accuracy_is_that_of_the_extracted_subnets(folder, supernet):
    """Image by image through plain torch modules, archs of two resolutions in one call."""
    archs = SPACE.decode(SPACE.sample(np.random.default_rng(2), 5)) + [
        SPACE.smallest(),
        SPACE.largest(),
    ]
    results = imagenet.evaluate(
        supernet, archs, folder, recalibration_images=24, batch=8, workers=0, progress=False
    )
    half = imagenet.ImageNet(folder, 6)
    for arch, result in zip(archs, results, strict=True):
        batches = half.calibration(arch.resolution, images=24, batch=8, workers=0)
        subnet = supernet.extract(arch, recalibrate(supernet, arch, batches))
        top1 = top5 = 0
        for image, label in half.validation(arch.resolution, batch=1, workers=0):
            order = subnet(image)[0].argsort(descending=True).tolist()
            top1 += order[0] == label.item()
            top5 += label.item() in order[:5]
        assert (result.arch, result.images) == (arch, 30)
        assert (result.top1, result.top5) == pytest.approx((100 * top1 / 30, 100 * top5 / 30))
    assert len({result.top1 for result in results}) > 1


def flatten(half: Path) -> None:
    """As the validation archive unpacks."""
    for file in half.glob("*/*"):
        file.rename(half / file.name)
    for name in CLASSES:
        (half / name).rmdir()


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            lambda root: (root / "train").rename(root / "training"),
            "train is not half of an ImageNet folder",
        ),
        (lambda root: flatten(root / "val"), "val is not half of an ImageNet folder.*unpacks flat"),
        (
            lambda root: (root / "val" / CLASSES[2]).rename(root / "val" / "n99999999"),
            "'n00000002' is only in one of",
        ),
        (
            lambda root: [
                (root / half / CLASSES[0]).rename(root / half[0]) for half in ("train", "val")
            ],
            "train has 5 class folders, the network has 6",
        ),
        (
            lambda root: [file.write_bytes(b"") for file in (root / "val").glob("*/*")],
            "none of 30 images in .*val can be read",
        ),
    ],
)
def test_wrong_folders_are_named(folder, supernet, damage, message):
    damage(folder)
    with pytest.raises(DataError, match=message):
        imagenet.evaluate(
            supernet, [SPACE.largest()], folder, recalibration_images=8, workers=0, progress=False
        )


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_images_are_named_and_left_out(folder, workers, capsys):
    expected = torch.cat([x for x, _ in imagenet.ImageNet(folder, 6).validation(32, workers=0)])
    files = [folder / "val" / CLASSES[i] / f"{CLASSES[i]}_0.JPEG" for i in (0, 5)]
    whole = files[1].read_bytes()
    for file, content in zip(files, (b"no image", whole[: len(whole) // 2])):
        file.write_bytes(content)
    batches = imagenet.ImageNet(folder, 6).validation(32, workers=workers, batch=4)
    images = torch.cat([x for x, _ in batches])
    assert torch.equal(images, expected[[i for i in range(30) if i not in (0, 25)]])
    lines = capsys.readouterr().err.splitlines()
    for file, line in zip(files, lines, strict=True):
        assert line.startswith(f"labkit: {file} cannot be read as an image (")
        assert line.endswith("); it is left out") and "Traceback" not in line


def test_an_evaluation_shows_its_total_and_survives_damaged_images(folder, supernet, capsys):
    for half in ("train", "val"):
        (folder / half / CLASSES[2] / f"{CLASSES[2]}_1.JPEG").write_bytes(b"no image")
    [result] = imagenet.evaluate(
        supernet, [SPACE.largest()], folder, recalibration_images=48, batch=7, workers=0
    )
    err = capsys.readouterr().err
    assert result.images == 29 and err.count("it is left out") == 2
    assert "48 px, recalibration: 100%" in err and "7/7" in err  # of 48 images
    assert "48 px, validation: 100%" in err and "5/5" in err  # of 30


def test_archs_of_another_space_are_an_error(folder, supernet):
    with pytest.raises(ValueError, match="not in space 'six-classes'"):
        imagenet.evaluate(
            supernet, [get_space("ofa-mbv3").largest()], folder, workers=0, progress=False
        )


def test_the_paper_network_on_a_thousand_classes(tmp_path):
    source = tmp_path / "picture.JPEG"
    rng = np.random.default_rng(3)
    for i in range(1000):
        if i % 50 == 0:
            picture(rng, source)
        for half in ("train", "val"):
            target = tmp_path / "root" / half / f"n{i:08d}" / "0.JPEG"
            target.parent.mkdir(parents=True)
            target.write_bytes(source.read_bytes())
    supernet = Supernet(get_space("ofa-mbv3"))
    torch.nn.init.normal_(supernet.classifier.weight)
    archs = [supernet.space.smallest()]
    [result] = imagenet.evaluate(
        supernet,
        archs,
        tmp_path / "root",
        images=10,
        recalibration_images=8,
        workers=0,
        progress=False,
    )
    assert result.images == 10 and 0 <= result.top1 <= result.top5 <= 100
