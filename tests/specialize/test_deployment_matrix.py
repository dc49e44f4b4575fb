"""Every subnet on every device: the arithmetic of the matrix on made-up figures, its files, and one
real run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from firmware_for_tests import record_of
from latency_for_tests import TINY, own_cache  # noqa: F401  (a fixture)

from labkit.course.pictures.deployment import deployment_matrix
from labkit.course.pictures.style import save_figure
from labkit.deploy.deployment import Deployment
from labkit.deploy.onnx.deployment import OnnxDeployment
from labkit.firmware import emulated_board
from labkit.firmware.emulated_board import Board, board_of, find_board
from labkit.firmware.library import RECORD, write_library
from labkit.formats import table
from labkit.latency.devices import get_device
from labkit.latency.simulated.device_template import write_device
from labkit.space import Arch
from labkit.space.presets import FMNIST
from labkit.specialize.choices import ALL, Choice, choose_subnets
from labkit.specialize.deployed_models import Deployed, kind_of
from labkit.specialize.deployment_matrix import NOISE, DeploymentMatrix, build_matrix, specialize
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.targets import Request, Target, targets
from labkit.storage.provenance import sha256
from labkit.supernet.folder import TrainedSupernet, load

BUDGETS = (4.0, 2.0, 100.0)
NETWORK = record_of(
    SimpleNamespace(
        arch=FMNIST.smallest(),
        input_shape=(12, 12, 1),
        mean=(0.5,),
        std=(0.25,),
        classes=tuple("abcdefghij"),
        network=SimpleNamespace(
            input=SimpleNamespace(scale=0.5, zero=0), output=SimpleNamespace(scale=0.5, zero=0)
        ),
    )
)


@dataclass(frozen=True, kw_only=True)
class FileLike(Deployment):
    memory_bytes, storage_bytes = 11_000, 22_000


@pytest.fixture(scope="module")
def found() -> DeploymentMatrix:
    """Three devices; the subnet of the first is too slow for the second and too big for the third,
    and so on.
    """
    wanted = [
        Target(DeviceCosts(FMNIST, get_device(name)), budget)
        for name, budget in zip(("pi4", "pixel1", "mcu-64k"), BUDGETS)
    ]
    choices = [
        Choice(owner, arch, 90.0)
        for owner, arch in (
            ("pi4", FMNIST.largest()),
            ("pixel1", FMNIST.smallest()),
            ("mcu-64k", FMNIST.smallest()),
            (ALL, FMNIST.smallest()),
        )
    ]
    latency = np.array([[4.0, 3.0, 400.0], [2.0, 2.0, 150.0], [1.0, 1.0, 90.0], [1.0, 1.5, 80.0]])
    accuracy = np.array(
        [[93.0, 93.0, 92.5], [92.0, 92.0, 91.5], [91.0, 91.0, 90.5], [90.8, 91.96, 90.4]]
    )
    fits = np.array([[True, True, False], [True] * 3, [True] * 3, [True] * 3])
    return DeploymentMatrix(
        FMNIST,
        wanted,
        choices,
        latency,
        accuracy,
        fits,
        ["simulated", "simulated", "guessed"],
        "made up",
        np.zeros(3),
    )


def test_ratios_losses_and_verdicts(found):
    np.testing.assert_allclose(
        found.over_budget, [[1, 1.5, 4], [0.5, 1, 1.5], [0.25, 0.5, 0.9], [0.25, 0.75, 0.8]]
    )
    np.testing.assert_allclose(found.loss, [[0, -1, -2], [1, 0, -1], [2, 1, 0], [2.2, 0.04, 0.1]])
    assert found.too_slow.tolist() == [
        [False, True, True],
        [False, False, True],
        [False] * 3,
        [False] * 3,
    ]
    assert [found.verdict(s) for s in range(4)] == [
        "fails on 2 of 3",
        "fails on 1 of 3, elsewhere up to 1.0 points worse",
        "fits everywhere, up to 2.0 points worse",
        "fits everywhere, up to 2.2 points worse",
    ]


def test_a_measured_latency_may_exceed_its_budget_by_its_noise(found):
    noisy = DeploymentMatrix(
        **{
            **vars(found),
            "latency_ms": np.array([[4.19, 1, 1], [4.21, 1, 1], [4.0, 1, 1], [1, 1, 1]]),
            "tolerance": np.array([0.05, 0, 0]),
        }
    )
    assert noisy.too_slow[:, 0].tolist() == [False, True, False, False]


def test_json_has_every_cell_and_says_how_it_was_come_by(found):
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [d["budget_ms"] for d in value["devices"]] == list(BUDGETS)
    assert [d["latency_is"] for d in value["devices"]] == ["simulated", "simulated", "guessed"]
    assert value["accuracy_is"] == "made up" and value["schema"] == 1 and value["revision"]
    assert (
        value["latency_ms"][0][2] == 400
        and value["over_budget"][1][2] == 1.5
        and value["fits"][0][2] is False
    )
    assert [Arch.from_json(subnet["arch"]) for subnet in value["subnets"]] == [
        c.arch for c in found.choices
    ]


def test_text_marks_what_fails(found):
    lines = found.text().splitlines()
    assert lines[0].split() == ["pi4", "pixel1", "mcu-64k"]
    assert lines[2].split("  fails")[0].split() == [
        "of",
        "pi4",
        "own",
        "1.00x",
        "93.00%",
        "SLOW",
        "1.50x",
        "93.00%",
        "BIG",
        "4.00x",
        "92.50%",
    ]
    assert "mcu-64k guessed" in lines[-1] and "made up" in lines[-2]
    assert not any(
        "times as long" in line for line in lines
    )  # this machine is not among the devices


def test_long_names_keep_their_columns(found):
    long = [
        Target(SimpleNamespace(device=SimpleNamespace(name=f"{letter * 40}")), budget)
        for letter, budget in zip("abc", BUDGETS)
    ]
    renamed = DeploymentMatrix(
        **{
            **vars(found),
            "targets": long,
            "choices": [Choice("a" * 40, c.arch, 90.0) for c in found.choices],
        }
    )
    lines = renamed.text().splitlines()
    assert lines[0].split() == [target.name for target in long]
    ends = [lines[0].index(target.name) + 40 for target in long]
    assert all(lines[1][end - 2 : end] == "ms" and lines[2][end - 1] == "%" for end in ends)


def test_the_picture_has_a_number_in_every_cell(found, tmp_path):
    """Not color alone: each cell says what it is in words and numbers."""
    figure = deployment_matrix(found)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("too slow") == 2 and texts.count("does not fit") == 1
    assert sum("× budget" in text for text in texts) == 12
    assert {"93.0 %", "92.0 %", "90.5 %", "−1.0", "−2.0"} <= set(texts)
    assert sum(text.startswith("0.0") for text in texts) == 1
    assert sum(text.startswith(("fails", "fits")) for text in texts) == 4
    hatches = [patch.get_hatch() for patch in figure.axes[0].patches]
    assert hatches.count("//") == 2 and hatches.count("xx") == 1
    save_figure(figure, tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_says_of_one_network_for_all_what_the_cells_say(found):
    assert "worse somewhere" in deployment_matrix(found).get_suptitle()
    alike = DeploymentMatrix(
        **{
            **vars(found),
            "latency_ms": np.ones((4, 3)),
            "accuracy": np.full((4, 3), 92.0),
            "fits": np.full((4, 3), True),
        }
    )
    assert alike.verdict(3) == "fits everywhere, as good as their own"
    assert "as good for all devices as their own" in deployment_matrix(alike).get_suptitle()


def test_measured_accuracies_and_losses_stand_with_their_standard_errors(found):
    errors = np.full((4, 3), 0.42), np.full((4, 3), 0.31)
    measured = replace(found, accuracy_error=errors[0], loss_error=errors[1])
    texts = [text.get_text() for text in deployment_matrix(measured).axes[0].texts]
    assert {"93.0 ± 0.4 %", "−1.0 ± 0.3", "−2.0 ± 0.3"} <= set(texts)
    assert "up to 0.42 points, of a difference on one device up to 0.31" in measured.text()
    assert measured.to_json()["loss_error"] == errors[1].tolist()
    assert "loss_error" not in found.to_json()


def deployed(accuracy: float, int8: float, ms: float) -> SimpleNamespace:
    """A model that is right on the first images of 200, as many as its accuracy says."""
    images = np.arange(200)
    return SimpleNamespace(
        accuracy=accuracy,
        int8_accuracy=int8,
        latency_ms=ms,
        right=images < 2 * accuracy,
        int8_right=images < 2 * int8,
        path="model.onnx",
        memory_bytes=1000,
        storage_bytes=2000,
    )


def test_devices_take_the_accuracy_of_their_precision_and_this_machine_what_was_measured(
    monkeypatch,
):
    table = get_device("pi4").latency_table(FMNIST)
    monkeypatch.setattr(
        "labkit.specialize.device_costs.latency_table",
        lambda space, device, *_: table if device.name == "host" else device.latency_table(space),
    )
    model = TrainedSupernet(FMNIST).predictor
    requests = [Request("host", 3.5), Request("stm32h743", 12), Request("jetson-nano", 4.5)]
    wanted, choices = choose_subnets(targets(FMNIST, requests), model)
    names = [target.name for target in wanted]
    models = [deployed(92.0 - i, 91.5 - i, 5.0 - i) for i in range(len(choices))]
    files = [None if c.owner == ALL else model for c, model in zip(choices, models)]
    measured = Deployed([[model] * len(wanted) for model in models], files, [])
    result = build_matrix(model, wanted, choices, measured)
    expected = {
        "host": [92.0 - i for i in range(len(choices))],
        "stm32h743": [91.5 - i for i in range(len(choices))],
        "jetson-nano": [92.0 - i for i in range(len(choices))],
    }
    for d, name in enumerate(names):
        assert result.accuracy[:, d].tolist() == expected[name]
        assert result.tolerance[d] == (NOISE if name == "host" else 0)
        # Subnet s is wrong on |s - d| more or fewer percent of the images than the device's own.
        shares = np.abs(np.arange(len(choices)) - d) / 100
        paired = 100 * np.sqrt(shares * (1 - shares) / 200)
        np.testing.assert_allclose(result.loss_error[:, d], paired, atol=1e-9)
        binomial = 100 * np.sqrt(result.accuracy[:, d] / 1e2 * (1 - result.accuracy[:, d] / 1e2))
        np.testing.assert_allclose(result.accuracy_error[:, d], binomial / np.sqrt(200))
    assert result.accuracy_is == "measured on 200 images of val, in the device's precision"
    host = names.index("host")
    assert result.latency_ms[:, host].tolist() == [5.0 - i for i in range(len(choices))]
    assert result.latency_is[host] == "measured end to end"
    genes = FMNIST.encode([choice.arch for choice in choices])
    np.testing.assert_array_equal(
        result.latency_ms[:, names.index("jetson-nano")],
        get_device("jetson-nano").latency_table(FMNIST)(genes),
    )
    ratio = np.median((5.0 - np.arange(len(choices))) / table(genes))
    assert result.slowdown() == pytest.approx(ratio)
    assert (f"takes {ratio:.2f} times as long" in result.text()) == (abs(ratio - 1) > 0.1)


def test_memory_limits_of_a_microcontroller_show_in_its_column():
    from labkit.specialize.device_memory import flash_table, sram_table

    model, device = TrainedSupernet(FMNIST).predictor, get_device("mcu-64k")
    wanted, choices = choose_subnets(
        targets(FMNIST, [Request("pi4", 5), Request("mcu-64k", 300)]), model
    )
    result = build_matrix(model, wanted, choices, None)
    genes = FMNIST.encode([choice.arch for choice in choices])
    column = [target.name for target in wanted].index("mcu-64k")
    fits = (sram_table(FMNIST, device)(genes) <= device.sram_bytes) & (
        flash_table(FMNIST, device)(genes) <= device.flash_bytes
    )
    assert result.fits[:, column].tolist() == fits.tolist() and not fits.all()
    assert result.fits[:, 1 - column].all()


def test_a_space_without_a_supernet_is_predicted_and_says_so(tmp_path):
    found = specialize(
        TrainedSupernet(TINY, predictor="synthetic"),
        [Request("pi4", 50, True), Request("pixel1", 20, True)],
        tmp_path / "out",
        progress=False,
    )
    assert found.accuracy_is.startswith("predicted (synthetic")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["specialize.json"]
    assert json.loads((tmp_path / "out" / "specialize.json").read_text())["seed"] == 0


def fake_supernet() -> SimpleNamespace:
    """Of a trained supernet what specializing needs; a subnet that is extracted is its arch."""
    return SimpleNamespace(
        space=FMNIST,
        predictor=TrainedSupernet(FMNIST).predictor,
        is_trained=True,
        supernet=SimpleNamespace(extract=lambda arch, stats: arch),
        dataset=None,
        weights_path=Path(__file__),
    )


@pytest.fixture
def exported(monkeypatch) -> list[Arch]:
    """The archs that are exported, in order, by an export that writes the arch into its files."""
    made: list[Arch] = []

    def deploy(space, subnet, dataset, path, *, int8, split, supernet):
        assert supernet == sha256(Path(__file__))
        made.append(subnet)
        files = [path, *[path.with_suffix(".int8.onnx")] * int8]
        for file in files:
            file.parent.mkdir(exist_ok=True)
            for ending in ("", ".json"):
                text = f"{file.suffixes[-2:-1]} {subnet}{ending}"
                file.with_name(file.name + ending).write_text(text)
        return OnnxDeployment(
            arch=subnet,
            path=str(path),
            max_difference=0.0,
            verified_images=1,
            split=split,
            accuracy=90.0,
            latency_ms=1.0,
            file_bytes=1,
            peak_memory_bytes=1,
            int8_path=str(files[1]) if int8 else None,
            int8_accuracy=89.0,
            right=np.arange(100) < 90,
            int8_right=np.arange(100) < 89,
        )

    monkeypatch.setattr("labkit.deploy.onnx.deployment.deploy", deploy)
    monkeypatch.setattr("labkit.deploy.litert.packages.PACKAGES", ("not_installed",))
    monkeypatch.setattr(
        "labkit.supernet.evaluation.Evaluator",
        lambda *_: SimpleNamespace(recalibrate=lambda arch: None),
    )
    return made


def test_devices_that_choose_the_same_subnet_each_have_its_model(tmp_path, exported):
    """Under such budgets the largest subnet is best everywhere; it is exported once."""
    (tmp_path / "pixel1.onnx").write_text("of an earlier run")
    found = specialize(
        fake_supernet(),
        [Request(name, 1000) for name in ("pi4", "pixel1", "stm32h743")],
        tmp_path,
        progress=False,
    )
    assert len({choice.arch for choice in found.choices}) == len(exported) == 1
    for ending, text in ((".onnx", "[]"), (".int8.onnx", "['.int8']")):
        for name in ("pi4", "pixel1", "stm32h743"):
            for more in ("", ".json"):  # the record beside the model
                content = (tmp_path / f"{name}{ending}{more}").read_text()
                assert content == f"{text} {exported[0]}{more}"
    subnets = json.loads((tmp_path / "specialize.json").read_text())["subnets"]
    names = {s["for"]: s["model"] for s in subnets}
    assert names.pop("stm32h743") == "stm32h743.int8.onnx"
    assert names == {"pi4": "pi4.onnx", "pixel1": "pixel1.onnx"}
    assert "ONNX stands in for LiteRT: a .tflite file or a folder of firmware needs" in found.text()


def test_models_of_an_earlier_run_do_not_stay_under_a_devices_name(tmp_path, exported):
    for name in ("pi4.int8", "pixel1.int8", ALL, "jetson-nano", "mine"):
        (tmp_path / f"{name}.onnx").write_text("of an earlier run")
    specialize(
        fake_supernet(), [Request("pi4", 1000), Request("pixel1", 1000)], tmp_path, progress=False
    )
    assert sorted(path.stem for path in tmp_path.glob("*.onnx")) == [
        "jetson-nano",
        "mine",
        "pi4",
        "pixel1",
    ]
    subnets = json.loads((tmp_path / "specialize.json").read_text())["subnets"]
    assert [s["model"] for s in subnets] == [f"{s['for']}.onnx" for s in subnets]
    specialize(
        TrainedSupernet(TINY, predictor="synthetic"),
        [Request("pi4", 1000), Request("pixel1", 1000)],
        tmp_path,
        progress=False,
    )  # deploys nothing
    assert sorted(path.stem for path in tmp_path.glob("*.onnx")) == ["jetson-nano", "mine"]
    assert not list(tmp_path.glob("*.onnx.json"))
    assert [
        s["model"] for s in json.loads((tmp_path / "specialize.json").read_text())["subnets"]
    ] == [None, None]


@pytest.fixture
def formats(monkeypatch, exported) -> list[tuple]:
    """What is deployed to formats that all are installed: (ending, options, arch), in order."""
    calls = []

    def format_like(ending: str) -> SimpleNamespace:
        def deploy(space, subnet, dataset, path, *, split, supernet, **options):
            calls.append((ending, options, subnet))
            if ending:
                path.parent.mkdir(exist_ok=True)
                path.write_text(ending), path.with_name(path.name + ".json").write_text("{}")
            else:
                write_library(path, {RECORD: json.dumps(NETWORK.to_json())})
            return FileLike(
                arch=subnet,
                path=str(path),
                split=split,
                accuracy=90.0,
                right=np.arange(100) < 88,
                int8_right=np.arange(100) < 87,
            )

        return SimpleNamespace(deploy=deploy, require_packages=lambda: None)

    real = table.Format.module
    modules = {ending: format_like(ending) for ending in (".tflite", "")}
    monkeypatch.setattr(
        table.Format,
        "module",
        property(
            lambda form: (
                next((modules[e] for e in modules if table.FORMATS[e] is form), None)
                or real.fget(form)
            )
        ),
    )
    return calls


def test_the_board_of_a_device_file_is_the_files(tmp_path, formats, monkeypatch):
    """Also of one that is called like a device that ships; that of a core is the core's."""
    monkeypatch.setattr(emulated_board, "missing_tools", list)
    for name in ("mine", "mcu-20k"):
        path = tmp_path / f"{name}.json"
        write_device(path, "mcu-20k", rates={}, memories={"sram": 65536})
        device = get_device(str(path))
        board = Board(name, "cortex-m3", device.sram_bytes, device.flash_bytes)
        assert find_board(kind_of(device)[0].board) == board and board.sram_bytes == 65536 - 1024
    core = replace(device, name="cortex-m3", sram_bytes=None, flash_bytes=None)
    assert kind_of(core)[0].board == find_board("cortex-m3")


def test_each_device_has_what_its_engine_runs(tmp_path, formats, exported):
    """And the other subnets are judged as the device would run them, in files that nobody keeps;
    firmware and the interpreter, which compute the same, share one.
    """
    (tmp_path / "mcu-20k.onnx").write_text("of an earlier run")
    names = ("jetson-nano", "pixel1", "stm32h743", "mcu-20k")
    found = specialize(
        fake_supernet(), [Request(name, 10_000) for name in names], tmp_path, progress=False
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "jetson-nano.onnx",
        "jetson-nano.onnx.json",
        "mcu-20k",
        "pixel1.tflite",
        "pixel1.tflite.json",
        "specialize.json",
        "stm32h743.tflite",
        "stm32h743.tflite.json",
    ]
    archs = {choice.arch for choice in found.choices}
    assert len(archs) > 1  # the memories differ
    boards = [options["board"] for ending, options, _ in formats if not ending]
    assert boards in ([board_of(get_device("mcu-20k"))], ["none"])
    converted = [(options["precision"], arch) for ending, options, arch in formats if ending]
    assert len(converted) == len(set(converted))
    own = next(choice.arch for choice in found.choices if choice.owner == "mcu-20k")
    expected = {(precision, arch) for precision in ("float32", "int8") for arch in archs}
    assert expected - set(converted) <= {("int8", own)}
    assert set(exported) == archs
    columns = {target.name: d for d, target in enumerate(found.targets)}
    accuracy = {name: set(found.accuracy[:, d]) for name, d in columns.items()}
    assert accuracy == {
        "jetson-nano": {90.0},
        "pixel1": {88.0},
        "stm32h743": {87.0},
        "mcu-20k": {87.0},
    }
    text = found.text()
    assert "mcu-20k: 87.00 %, 11.0 kB of memory, 22.0 kB stored" in text
    specialize(
        fake_supernet(), [Request("pi4", 1e4), Request("mcu-20k", 1e4)], tmp_path, progress=False
    )
    assert (tmp_path / "mcu-20k" / RECORD).is_file()
    (tmp_path / "pi4").mkdir()  # not ours
    specialize(
        TrainedSupernet(TINY, predictor="synthetic"),
        [Request("pi4", 1000), Request("mcu-20k", 100_000)],
        tmp_path,
        progress=False,
    )  # deploys nothing
    assert not (tmp_path / "mcu-20k").exists() and (tmp_path / "pi4").is_dir()


@pytest.mark.slow
def test_a_real_run_deploys_what_it_chose(tmp_path, monkeypatch):
    import onnxruntime

    monkeypatch.setattr("labkit.deploy.litert.packages.PACKAGES", ("not_installed",))

    found = specialize(
        TrainedSupernet(FMNIST), [Request("pi4", 4.5), Request("mcu-64k", 250)], tmp_path
    )
    value = json.loads((tmp_path / "specialize.json").read_text())
    assert value["accuracy_is"].startswith("measured on ")
    assert (found.accuracy > 80).all() and (np.diag(found.over_budget) <= 1).all()
    assert found.too_slow[0, 1] and found.loss[1, 0] > 0  # each is wrong on the other's device
    for choice in found.choices:
        if choice.owner == ALL:
            continue
        for ending in (".onnx", ".int8.onnx"):
            session = onnxruntime.InferenceSession(
                tmp_path / f"{choice.owner}{ending}", providers=["CPUExecutionProvider"]
            )
            assert session.get_inputs()[0].shape[-1] == choice.arch.resolution


def test_one_device_gets_its_network(tmp_path):
    space_alone = TrainedSupernet(FMNIST, predictor="synthetic")
    matrix = specialize(space_alone, [Request("pi4", 2)], tmp_path, progress=False)
    (choice,) = matrix.choices
    assert choice.owner == "pi4" and matrix.latency_ms[0, 0] <= 2
    assert "pi4" in matrix.text()
    save_figure(deployment_matrix(matrix), tmp_path / "matrix.png")


def test_a_predictor_of_some_resolutions_is_asked_for_those_only(tmp_path):
    requests = [Request("note10-class", 30), Request("pi4", 300)]
    matrix = specialize(load("ofa-mbv3-w1.2"), requests, tmp_path, progress=False)
    assert all(choice.arch.resolution >= 160 for choice in matrix.choices)
    assert "for 160, 176, 192, 208, 224 px" in matrix.accuracy_is
