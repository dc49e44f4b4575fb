"""Pictures of every mode, orientation and shape, against what they were drawn as."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from labkit.data.decoding import moments, pixels_of
from labkit.data.record import ImageForm

COLOR = (200, 100, 50)
GRAY = 119  # ITU-R 601 luma of COLOR: 0.299 R + 0.587 G + 0.114 B
FORM = ImageForm(3, 8, "crop")


def through_file(picture: Image.Image, file_format: str = "PNG", **options) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def plain(mode: str, color) -> Image.Image:
    return Image.new(mode, (12, 12), color)


PICTURES = {
    "RGB": (plain("RGB", COLOR), COLOR),
    "palette": (plain("RGB", COLOR).convert("P", palette=Image.Palette.ADAPTIVE), COLOR),
    "gray": (plain("L", 70), (70, 70, 70)),
    "bilevel": (plain("1", 1), (255, 255, 255)),
    "16 bits": (plain("I;16", 70 * 256 + 13), (70, 70, 70)),
    "opaque alpha": (plain("RGBA", (*COLOR, 255)), COLOR),
    "transparent": (plain("RGBA", (*COLOR, 0)), (255, 255, 255)),
    "gray, transparent": (plain("LA", (70, 0)), (255, 255, 255)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_mode_becomes_the_color_that_is_seen(name):
    picture, expected = PICTURES[name]
    pixels = pixels_of(through_file(picture), FORM)
    assert pixels.shape == (3, 8, 8) and pixels.dtype == torch.uint8
    assert pixels.unique(dim=1).shape[1] == 1  # of one color
    np.testing.assert_allclose(pixels[:, 4, 4], expected, atol=1)


@pytest.mark.parametrize("file_format, options", [("JPEG", {"quality": 95}), ("WEBP", {})])
def test_lossy_formats_come_close(file_format, options):
    pixels = pixels_of(through_file(plain("RGB", COLOR), file_format, **options), FORM)
    np.testing.assert_allclose(pixels[:, 4, 4], COLOR, atol=5)


def test_a_print_shops_jpeg_is_not_inverted():
    ink = plain("RGB", COLOR).convert("CMYK")
    pixels = pixels_of(through_file(ink, "JPEG", quality=95), FORM)
    np.testing.assert_allclose(pixels[:, 4, 4], COLOR, atol=5)


def test_color_becomes_gray_where_the_network_wants_gray():
    pixels = pixels_of(plain("RGB", COLOR), ImageForm(1, 8, "crop"))
    assert pixels.shape == (1, 8, 8) and abs(int(pixels[0, 4, 4]) - round(GRAY)) <= 6


def test_a_camera_that_was_turned_gives_an_upright_picture():
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8] = COLOR  # the sky is above
    turned = Image.fromarray(np.rot90(upright).copy())  # as the sensor saw it
    tags = Image.Exif()
    tags[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    file = through_file(turned, "PNG", exif=tags)
    pixels = pixels_of(file, ImageForm(3, 16, "crop"))
    assert torch.equal(pixels, torch.from_numpy(upright).permute(2, 0, 1))


BANDS = np.repeat(np.array([[[255, 0, 0]], [[0, 255, 0]], [[0, 0, 255]]], np.uint8), 20, axis=0)
WIDE = Image.fromarray(np.broadcast_to(BANDS.transpose(1, 0, 2), (20, 60, 3)).copy())


@pytest.mark.parametrize("picture", [WIDE, WIDE.rotate(90, expand=True)], ids=["wide", "tall"])
def test_crop_takes_the_middle_and_stretch_takes_all(picture):
    cropped = pixels_of(picture.copy(), ImageForm(3, 10, "crop"))
    inside = cropped[:, 1:-1, 1:-1]  # at the edges, what lies beyond them is mixed in
    assert (inside[1] == 255).all() and not inside[0].any() and not inside[2].any()
    stretched = pixels_of(picture.copy(), ImageForm(3, 12, "stretch"))
    assert all((channel == 255).any() for channel in stretched)


@pytest.mark.parametrize("size", [(97, 64), (64, 131), (30, 40)])
def test_cropping_is_torchvisions_resize_and_center_crop(size):
    y, x = np.mgrid[: size[1], : size[0]]
    smooth = 127 + 60 * np.sin(x / 20) + 60 * np.cos(y / 25)
    picture = Image.fromarray(np.repeat(smooth[..., None], 3, 2).astype(np.uint8))
    expected = v2.functional.pil_to_tensor(
        v2.CenterCrop(32)(v2.Resize(32, antialias=True)(picture))
    )
    difference = pixels_of(picture, ImageForm(3, 32, "crop")).int() - expected.int()
    # torchvision rounds the longer side to whole pixels before it crops, which shifts a little.
    assert difference.abs().float().mean() < 3


def test_a_large_jpeg_is_the_same_picture_decoded_at_less():
    large = Image.fromarray(np.asarray(WIDE.resize((1200, 400))))
    pixels = pixels_of(through_file(large, "JPEG", quality=95), ImageForm(3, 10, "crop"))
    np.testing.assert_allclose(pixels[:, 5, 5], (0, 255, 0), atol=6)


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000)])
def test_extreme_shapes_are_no_problem(size):
    assert pixels_of(Image.new("RGB", size, COLOR), FORM)[:, 0, 0].tolist() == list(COLOR)


def test_numbers_of_unknown_range_are_refused():
    with pytest.raises(ValueError, match="floating-point"):
        pixels_of(Image.new("F", (8, 8), 0.5), FORM)


def test_moments_are_mean_and_mean_square():
    pixels = torch.randint(0, 256, (5, 3, 7, 7), dtype=torch.uint8)
    values = pixels.double() / 255
    expected = torch.stack([values.mean((2, 3)), (values**2).mean((2, 3))], -1)
    torch.testing.assert_close(moments(pixels), expected)
