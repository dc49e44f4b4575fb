"""What int8 costs in accuracy: `python benchmarks/quantization_drop.py [--subnets 24]`

Exports subnets of all sizes as `labkit deploy --int8` does (batch norm folded, verified against
torch on test images, activation ranges from training images) and compares both models on the whole
test split, or its first --images. With --format tflite it does as `labkit deploy --to NAME.tflite`
does, and runs both models in LiteRT, in .venv-mcu. Every subnet is kept as soon as it is done: an
interrupted run goes on, and a larger --subnets adds more.

Writes benchmarks/results/quantization_drop-SPACE.json (-SPACE-tflite.json) and its section of
benchmarks/QUANTIZATION.md; with --page the page is written again from that file and nothing is
measured.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import page
from torch import Tensor
from tqdm import tqdm

from labkit.data.datasets import DataSet
from labkit.deploy.converted_file import VERIFY_IMAGES
from labkit.deploy.deployment import (
    CalibrationImages,
    check_agreement,
    split_images,
    top1_percent,
)
from labkit.deploy.onnx.quantization import CALIBRATION_BATCH, PERCENTILE
from labkit.space import Arch, SearchSpace
from labkit.space.presets import get_space
from labkit.storage.provenance import code_revision, sha256
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.folder import TrainedSupernet
from labkit.supernet.subnet import Subnet
from labkit.tables.costs import macs_table

RANDOM_ARCHS = 4000
SMALL_MACS = 1e6
LIMIT, LIMIT_ABOVE_SMALL = (
    1.0,
    0.5,
)  # points of accuracy that int8 may lose: ever, and above a million MACs


def archs_across_sizes(space: SearchSpace, count: int, seed: int = 0) -> list[Arch]:
    """The smallest subnet, the largest, and random ones spread over the range of MACs, half of them
    small.
    """
    rng = np.random.default_rng(seed)
    ends = space.encode([space.smallest(), space.largest()])
    near = space.mutate(rng, np.repeat(ends[:1], RANDOM_ARCHS, 0), rate=0.2, resolution_rate=0.2)
    genes = np.concatenate([near, space.sample(rng, RANDOM_ARCHS)])
    macs = macs_table(space)(genes)
    targets = np.geomspace(macs.min(), macs.max(), count)[1:-1]
    nearest = [int(np.argmin(abs(np.log(macs / target)))) for target in targets]
    return [space.smallest(), *dict.fromkeys(space.decode(genes[nearest])), space.largest()]


class Forms(NamedTuple):
    """Logits (N, classes) of the two models of a subnet, their sizes, and a largest difference."""

    fp32: np.ndarray
    int8: np.ndarray
    bytes_fp32: int
    bytes_int8: int
    max_difference: float  # of a logit in fp32, to torch's


def onnx_forms(space: SearchSpace, subnet: Subnet, dataset: DataSet, images: Tensor) -> Forms:
    from labkit.deploy.onnx.deployment import ONNX_VERIFY_IMAGES
    from labkit.deploy.onnx.export import export, run
    from labkit.deploy.onnx.quantization import ONNX_CALIBRATION_IMAGES, quantize

    verified = export(space, subnet, images[:ONNX_VERIFY_IMAGES])
    calibration = CalibrationImages(dataset, subnet.arch.resolution, ONNX_CALIBRATION_IMAGES)
    int8 = quantize(verified.model, calibration)
    return Forms(
        run(verified.model, images),
        run(int8, images),
        verified.model.ByteSize(),
        int8.ByteSize(),
        verified.max_difference,
    )


def tflite_forms(space: SearchSpace, subnet: Subnet, dataset: DataSet, images: Tensor) -> Forms:
    from labkit.deploy.litert.conversion import float_model, quantize
    from labkit.deploy.litert.deployment import LITERT_CALIBRATION_IMAGES
    from labkit.deploy.litert.interpreter import litert_model

    checked = images[:VERIFY_IMAGES]
    fp32 = float_model(space, subnet, checked)
    calibration = CalibrationImages(dataset, subnet.arch.resolution, LITERT_CALIBRATION_IMAGES)
    int8 = quantize(fp32, calibration)
    logits = litert_model(fp32)(images)
    difference = check_agreement(logits[:VERIFY_IMAGES], subnet, checked, model="LiteRT")
    return Forms(logits, litert_model(int8)(images), len(fp32), len(int8), difference)


FORMS = {"onnx": onnx_forms, "tflite": tflite_forms}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="fmnist")
    parser.add_argument("--format", choices=FORMS, default="onnx")
    parser.add_argument("--subnets", type=int, default=24, help="how many (default: 24)")
    parser.add_argument("--images", type=int, help="the first of the split (default: all)")
    parser.add_argument("--page", action="store_true", help="only write the page again")
    options = parser.parse_args()
    space, name = get_space(options.space), f"quantization_drop-{options.space}"
    if options.format != "onnx":
        name += f"-{options.format}"
    path = page.FOLDER / "results" / f"{name}.json"
    if not options.page:
        run(space, path, options)
    report = json.loads(path.read_text())
    page.put(page.FOLDER / "QUANTIZATION.md", name, text(report), "What int8 costs in accuracy")
    print(text(report))


def run(space: SearchSpace, path: Path, options: argparse.Namespace) -> None:
    """Measure what is not in `path` yet; a report of other weights, another quantizer or other
    images begins anew.
    """
    trained = TrainedSupernet(space)
    settings = {
        "space": space.name,
        "supernet_sha256": sha256(trained.weights_path),
        "format": options.format,
        "images": options.images,
        "calibration_batch": CALIBRATION_BATCH,
        "percentile": PERCENTILE,
    }
    report = json.loads(path.read_text()) if path.is_file() else {}
    if any(report.get(field) != value for field, value in settings.items()):
        report = {**settings, "split": "test", "rows": []}
    measured = [row["arch"] for row in report["rows"]]
    supernet, dataset = trained.supernet, trained.dataset
    evaluator = Evaluator(supernet, dataset, "test")
    for arch in tqdm(archs_across_sizes(space, options.subnets), unit="subnet"):
        if arch.to_json() in measured:
            continue
        subnet = supernet.extract(arch, evaluator.recalibrate(arch))
        images, labels = split_images(dataset, "test", arch.resolution, options.images)
        forms = FORMS[options.format](space, subnet, dataset, images)
        fp32, int8 = (top1_percent(logits, labels) for logits in (forms.fp32, forms.int8))
        report["rows"].append(
            {
                "arch": arch.to_json(),
                "macs": int(macs_table(space)(space.encode([arch]))[0]),
                "max_difference": forms.max_difference,
                "fp32": fp32,
                "int8": int8,
                "drop": fp32 - int8,
                "bytes_fp32": forms.bytes_fp32,
                "bytes_int8": forms.bytes_int8,
            }
        )
        page.save(path, {**report, "revision": code_revision()})


def text(report: dict) -> str:
    """The page's section: a summary for small and for larger subnets, and every subnet."""
    rows = sorted(report["rows"], key=lambda row: row["macs"])
    runtime = {"onnx": "ONNX", "tflite": "LiteRT"}[report.get("format", "onnx")]
    command = {"ONNX": "--int8", "LiteRT": "--to NAME.tflite"}[runtime]
    images = report.get("images")
    where = f"on the first {images} images of the" if images else "on the whole"
    parts = []
    for title, limit, group in (
        ("under 1M MACs", LIMIT, [row for row in rows if row["macs"] < SMALL_MACS]),
        ("1M MACs and more", LIMIT_ABOVE_SMALL, [row for row in rows if row["macs"] >= SMALL_MACS]),
    ):
        drops = [row["drop"] for row in group]
        if drops:
            parts.append(
                (
                    title,
                    len(drops),
                    f"{np.mean(drops):.2f}",
                    f"{max(drops):.2f}",
                    f"{limit:.1f}",
                    sum(drop > limit for drop in drops),
                )
            )
    each = [
        (
            Arch.from_json(row["arch"]),
            f"{row['macs'] / 1e6:.2f}M",
            f"{row['fp32']:.2f} %",
            f"{row['int8']:.2f} %",
            f"{row['drop']:.2f}",
            f"{row['max_difference']:.1e}",
            f"{row['bytes_fp32'] / row['bytes_int8']:.1f}x",
        )
        for row in rows
    ]
    return "\n".join(
        [
            f"## `{report['space']}`, {where} {report['split']} split",
            "",
            (
                f"{len(rows)} subnets, exported and quantized as `labkit deploy {command}` does"
                f" (`quantization_drop.py`, revision {report['revision']}, supernet"
                f" {report['supernet_sha256'][:12]}). Drops are points of top-1 accuracy; as many"
                " as *allowed* may be lost by a subnet of that size, *above* counts those that"
                f" lose more. *{runtime} against torch* is the largest difference of a logit in"
                " fp32, *size* that of the fp32 file over the int8 one's."
            ),
            "",
            page.table(
                ("subnets", "number", "mean drop", "largest drop", "allowed", "above"), parts
            ),
            "",
            page.table(
                ("subnet", "MACs", "fp32", "int8", "drop", f"{runtime} against torch", "size"), each
            ),
        ]
    )


if __name__ == "__main__":
    main()
