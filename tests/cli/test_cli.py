import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from pictures_for_tests import write_pictures
from PIL import Image

import labkit
from labkit.cli import cli, main
from labkit.cli.options import read_arch
from labkit.data.datasets import load as load_data
from labkit.search import front
from labkit.space import Arch
from labkit.space.presets import FMNIST
from labkit.supernet.folder import load
from labkit.tables.costs import params_table


def run(capsys, *arguments):
    """Exit code, standard output and standard error of a command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["labkit", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def as_json(capsys, *arguments):
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_search_answers_within_its_limits(capsys):
    found = as_json(
        capsys, "search", "--device", "pi4", "--max-latency-ms", "2.5", "--max-params", "200"
    )
    arch = Arch.from_json(found["arch"])
    FMNIST.validate(arch)
    assert found["latency_ms"] <= 2.5 and found["params"] <= 200_000
    assert found["latency_is"].startswith("simulated") and 0 <= found["gap_to_optimum"] < 0.1
    assert found == as_json(
        capsys, "search", "--device", "pi4", "--max-latency-ms", "2.5", "--max-params", "200"
    )


def test_a_microcontrollers_memory_limits_always_hold(capsys):
    from labkit.latency.devices import get_device
    from labkit.specialize.device_memory import flash_table, sram_table

    found = as_json(capsys, "search", "--device", "mcu-64k", "--method", "exact")
    device = get_device("mcu-64k")
    genes = FMNIST.encode([Arch.from_json(found["arch"])])
    assert sram_table(FMNIST, device)(genes)[0] <= device.sram_bytes
    assert flash_table(FMNIST, device)(genes)[0] <= device.flash_bytes
    assert found["gap_to_optimum"] == 0


@pytest.mark.parametrize("device", ["pi4", "mcu-64k"])
@pytest.mark.parametrize(
    "option, cost, unit, called",
    [
        ("latency-ms", "latency_ms", 1, "ms"),
        ("macs", "macs", 1e6, "million"),
        ("params", "params", 1e3, "thousand"),
        ("sram", "sram_bytes", 1e3, "kB"),
        ("flash", "flash_bytes", 1e3, "kB"),
    ],
)
def test_a_limit_that_excludes_nothing_is_pointed_out(capsys, device, option, cost, unit, called):
    """Such as one in the wrong unit. Of these costs the largest subnet's is the highest."""
    from labkit.latency.devices import get_device
    from labkit.specialize.device_costs import DeviceCosts

    command = ["search", "--device", device, "--method", "exact", "--json", f"--max-{option}"]
    most = (
        float(
            getattr(DeviceCosts(FMNIST, get_device(device)), cost)(
                FMNIST.encode([FMNIST.largest()])
            )[0]
        )
        / unit
    )
    code, out, err = run(capsys, *command, "2000000")
    assert code == 0 and json.loads(out)["limits"]
    effect = "excludes no subnet; none needs more than"
    if option == "sram" and device == "mcu-64k":  # where tensors lie is for the planner to say
        effect = "hardly excludes a subnet; none is predicted to need more than"
    assert err == f"labkit: --max-{option} 2000000 {effect} {most:.6g} {called}\n"
    assert run(capsys, *command, str(0.999 * most))[2] == ""


def test_search_shows_what_the_planner_takes_where_it_is_more_than_predicted(capsys):
    from labkit.tables.arena import planned_bytes

    options = ("--predictor", "synthetic", "--method", "exact", "--max-sram")
    arguments = ("search", "--device", "stm32f746", *options)
    found = as_json(capsys, *arguments, "25")
    assert (
        found["planned_sram_bytes"]
        == planned_bytes(FMNIST, Arch.from_json(found["arch"]))
        > found["sram_bytes"]
    )
    _, out, _ = run(capsys, *arguments, "25")
    assert (
        f"{found['sram_bytes'] / 1000:.1f} kB with the interpreter, "
        f"{found['planned_sram_bytes'] / 1000:.1f} kB as its planner places them" in out
    )
    _, out, _ = run(capsys, *arguments, "300")
    assert "kB with the interpreter\n" in out and "planner" not in out


@pytest.mark.parametrize("device", ["pi4", "pixel1", "mcu-64k"])
@pytest.mark.parametrize("option", ["latency-ms", "macs", "params", "sram", "flash"])
def test_the_minimum_that_a_refusal_names_is_accepted(capsys, device, option):
    code, _, err = run(capsys, "search", "--device", device, f"--max-{option}", "0.001")
    assert code == 2 and re.search("the smallest (achievable value|value found) is", err)
    named, least = err.split()[-2:]
    assert named == f"--max-{option}"
    found = as_json(capsys, "search", "--device", device, named, least)
    field = {"sram": "sram_bytes", "flash": "flash_bytes"}.get(option, option.replace("-", "_"))
    assert found[field] <= next(iter(found["limits"].values()))


def test_a_limit_in_thousands_takes_the_arch_that_has_exactly_as_many(capsys):
    """64.746 * 1e3 is 64745.99999999999: rounding must not cost an arch of 64,746 parameters its
    place.
    """
    accuracy = load("fmnist").predictor.predict
    points = front(FMNIST, accuracy, params_table(FMNIST))
    params = [int(cost) for cost in points.cost if float(f"{cost / 1e3}") * 1e3 < cost][:2]
    assert params, "no point of the front is rounded down any more: the test needs other numbers"
    for count in params:
        found = as_json(
            capsys,
            "search",
            "--device",
            "pi4",
            "--max-params",
            str(count / 1e3),
            "--method",
            "exact",
        )
        assert found["params"] == count


def test_a_search_that_measures_reports_the_best_that_it_measured(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))  # what is measured here is made up
    asked = []

    class Judge:
        def __init__(self, supernet, dataset, split):
            self.split = split

        def accuracy(self, arch):
            asked.append((self.split, arch))
            return 91.8 + 0.1 * len(asked) if self.split == "val-search" else 91.0

    monkeypatch.setattr("labkit.supernet.evaluation.Evaluator", Judge)
    command = ("search", "--device", "pi4", "--max-macs", "1.2", "--measure", "3")
    answer = as_json(capsys, *command)
    *searched, last = asked
    assert [split for split, _ in searched] == ["val-search"] * 3 and last[0] == "val"
    assert len({arch for _, arch in searched}) == 3 == answer["measurements"]
    best = Arch.from_json(answer["arch"])
    assert best == searched[2][1] == last[1] and answer["macs"] <= 1.2e6
    assert [entry["accuracy"] for entry in answer["measured"]] == pytest.approx([91.9, 92.0, 92.1])
    assert answer["measured_accuracy"] == pytest.approx(92.1) and answer["val_accuracy"] == 91
    assert answer["measured_standard_error"] == pytest.approx((92.1 * 7.9 / 5000) ** 0.5)
    low, high = answer["predicted_interval"]
    assert 90 < low < answer["predicted_accuracy"] < high < 94
    assert answer["method"] == "thompson" and answer["gap_to_optimum"] >= 0
    code, text, _ = run(capsys, *command)
    assert code == 0 and "% measured on val-search, the best of 3 subnets" in text
    code, _, err = run(capsys, *command, "--method", "exact")
    assert code and "leave out --method" in err
    synthetic = ("--supernet", "ofa-mbv3", "--predictor", "synthetic")
    code, _, err = run(capsys, "search", *synthetic, "--device", "pi4", "--measure", "2")
    assert code and "leave out one of --measure and --predictor" in err


def test_pareto_front_ascends(capsys, tmp_path):
    picture = tmp_path / "new" / "front.png"
    front = as_json(capsys, "pareto", "--device", "pi4", "--picture", str(picture))
    latency = [point["latency_ms"] for point in front["points"]]
    accuracy = [point["predicted_accuracy"] for point in front["points"]]
    assert (
        latency == sorted(set(latency)) and accuracy == sorted(set(accuracy)) and len(latency) > 20
    )
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", [["pareto", "--device", "pi4"], ["cost"]])
def test_a_picture_that_cannot_be_written_is_refused_before_the_work(
    capsys, monkeypatch, tmp_path, command
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "kept.png").write_text("an earlier picture")
    code, out, err = run(capsys, *command, "--picture", "file/new/front.png")
    assert (
        code == 2
        and out == ""
        and f"{str(tmp_path / 'file')!r} is no folder that can be written" in err
    )
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    code, out, err = run(capsys, *command, "--picture", "kept.png")
    assert code == 2 and out == "" and "cannot write 'kept.png'" in err
    assert (tmp_path / "kept.png").read_text() == "an earlier picture"


@pytest.mark.parametrize("command", [["pareto", "--device", "pi4"], ["cost"]])
def test_an_answer_is_printed_even_if_its_picture_cannot_be_kept(
    capsys, monkeypatch, tmp_path, command
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labkit.course.pictures.style.save_figure", full)
    code, out, err = run(capsys, *command, "--picture", str(tmp_path / "front.png"), "--json")
    assert code == 2 and json.loads(out) and "No space left" in err


def test_what_a_demo_measured_is_printed_even_if_it_cannot_be_kept(capsys, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    table = SimpleNamespace(to_json=lambda: [{"device": "pi4"}], text=lambda: "", write=full)
    monkeypatch.setattr("labkit.specialize.subnet_table.subnet_table", lambda *_, **__: table)
    options = ["--devices", "pi4", "--out", str(tmp_path), "--json"]
    code, out, err = run(capsys, "demo", *options)
    assert code == 2 and json.loads(out) == {"rows": [{"device": "pi4"}]}
    assert "No space left" in err and err.count("\n") == 1


def test_devices_are_listed_with_how_they_are_known(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    devices = {d["name"]: d for d in as_json(capsys, "devices")["devices"]}
    assert devices["host"]["latency_is"] == "measured"
    assert all(
        "simulated" in devices[name]["latency_is"] for name in ("pi4", "stm32h743", "mcu-64k")
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["search", "--device", "pi5"], "unknown device 'pi5', known: host"),
        (["measure", "--supernet", "mnist"], "unknown supernet 'mnist', known: fmnist"),
        (
            ["measure", "--supernet", "fmnist", "--pairs", "11"],
            "11 pairs of 'fmnist' are too few to fit",
        ),
        (["measure", "--supernet", "ofa-mbv3"], "ofa-mbv3/supernet.safetensors does not exist"),
        (["search", "--supernet", "mnist"], "unknown supernet 'mnist', known: fmnist"),
        (["search", "--device", "pi4", "--max-latency-ms", "-3"], "-3.0 is not in the range 0<=x"),
        (
            ["search", "--device", "pi4", "--max-latency-ms", "nan"],
            "'nan' is no number",
        ),
        (["search", "--device", "pi4", "--max-latency-ms", "fast"], "'fast' is not a valid float"),
        (
            ["search", "--device", "pi4", "--max-latency-ms", "1e-6"],
            "cannot be met; the smallest achievable value is",
        ),
        (
            ["search", "--device", "pi4", "--max-params", "1"],
            "value is 6414: --max-params 6.414\n",
        ),
        (
            ["search", "--device", "pi4", "--max-sram", "1"],
            "value is 6912 bytes: --max-sram 6.912\n",
        ),
        (["search", "--method", "guess"], "'guess' is not one of"),
        (
            ["search", "--device", "pi4", "--latency", "regression"],
            "'pi4' is simulated, so there are no measured subnets",
        ),
        (["lut", "compare", "pi4", "pi5"], "unknown device 'pi5'"),
        (
            ["lut", "export", "--device", "pi4", "--out", "pi4.json"],
            "only measured devices have a latency file",
        ),
        (["lut", "pack", "--out", "kit.tar"], "name it like kit.zip"),
        (["evaluate", "--arch", "huge"], "arch 'huge' is neither"),
        (["evaluate", "--arch", '{"resolution": 28}'], "an arch looks like"),
        (
            ["evaluate", "--arch", '{"resolution": 29, "stages": []}'],
            "resolution 29 is not in space 'fmnist'",
        ),
        (["evaluate", "--arch", "{broken"], "not valid JSON"),
        (["evaluate", "--arch", "smallest", "--split", "train"], "'train' is not one of"),
        (["train", "--out", "x", "--recipe", "magic"], "unknown recipe 'magic', known: sandwich"),
        (
            ["train", "--out", "x", "--learning-rate", "nan"],
            "'--learning-rate': 'nan' is no number",
        ),
        (
            ["specialize", "--device", "pi4=4"],
            "'pi4=4' is no device and budget; write them like pi4:4",
        ),
        (["specialize", "--device", "pi4:0", "--device", "host:1"], "want more than 0 ms"),
        (["specialize", "--device", "pi4:4", "--device", "pi4:5"], "'pi4' is given twice"),
        (
            ["specialize", "--device", "pi4:4", "--device", "pi5:4"],
            "unknown device 'pi5', known: host",
        ),
        (
            ["specialize", "--device", "pi4:4", "--device", "mcu-64k:1"],
            "latency on 'mcu-64k' budget 1 ms cannot be met",
        ),
        (
            ["train", "--out", "x", "--seed", "9" * 30],
            "is not in the range 0<=x<=4294967295",
        ),
        (
            ["train", "--out", "x", "--space", "cifar10"],
            "'fashion-mnist' has 1 image channels and 10 classes",
        ),
        (["train", "--out", __file__], "is a file"),
        (["demo", "--devices", "pi4,,mcu-64k"], "unknown device '', known: host"),
        (["demo", "--out", __file__], "is a file"),
        (
            ["evaluate", "--arch", "x" * 5000],
            "xx...' is neither 'largest', 'smallest', JSON nor a file",
        ),
        (["evaluate", "--arch", '{"arch": ' * 100_000], "arch is not valid JSON"),
        (
            [
                "evaluate",
                "--arch",
                "largest",
                "--data",
                "imagenet",
                "--path",
                ".",
                "--split",
                "test",
            ],
            "no split 'test'",
        ),
        (["evaluate", "--arch", "largest", "--path", "."], "--data imagenet and --path"),
        (
            ["evaluate", "--arch", '{"ks": Infinity, "e": 3, "d": 2, "r": 28}'],
            "Infinity is not a finite number",
        ),
        (
            ["pareto", "--device", "pi4", "--picture", "front"],
            "'front' is no picture; name it like picture.png",
        ),
        (["cost", "--picture", "cost.txt"], "'cost.txt' is no picture"),
        (
            ["demo", "--supernet", "ofa-mbv3", "--devices", "pi4", "--out", "."],
            "ofa-mbv3/supernet.safetensors does not exist",
        ),
        (
            ["evaluate", "--supernet", "ofa-mbv3", "--arch", "largest"],
            "`labkit weights fetch ofa-mbv3`, then `labkit",
        ),
        (
            ["deploy", "--supernet", "ofa-mbv3", "--arch", "largest", "--to", "m.onnx"],
            "`labkit weights fetch ofa-mbv3`",
        ),
        (["sail"], "No such command 'sail'"),
        (["search", "--sail"], "No such option"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(
    capsys, monkeypatch, tmp_path, arguments, message
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == "" and message in err
    assert err.count("\n") == 1 and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_truncated_weights_file_is_one_line(capsys, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(load("fmnist").weights_path.read_bytes()[:5000])
    code, _, err = run(capsys, "evaluate", "--arch", "smallest", "--weights", str(cut))
    assert code == 2 and "cut.safetensors is not a whole" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "--arch", "smallest", "--weights"],
        ["train", "--out", "run", "--teacher"],
        ["train", "--out", "run", "--initial"],
    ],
)
def test_what_is_given_in_the_place_of_weights_is_not_to_be_removed(
    capsys, monkeypatch, tmp_path, command
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"another kind of file")
    code, _, err = run(capsys, *command, "model.onnx")
    assert (
        code == 2
        and "model.onnx is not a whole labkit safetensors file" in err
        and err.count("\n") == 1
    )
    assert "remove" not in err and "give the supernet.safetensors of a training" in err
    (tmp_path / "first").mkdir()
    code, _, err = run(capsys, *command, "first")
    message = {
        "evaluate": "first is a folder; give the supernet.safetensors inside it",
        "train": "first/supernet.safetensors does not exist; check its name, or make it with"
        " `labkit train`",
    }[command[0]]
    assert (code, err) == (2, f"labkit: {message}\n")


def test_an_arch_file_that_is_no_text_is_named(capsys, tmp_path):
    picture = tmp_path / "arch.png"
    picture.write_bytes(b"\x89PNG\xff\xfe")
    code, _, err = run(capsys, "evaluate", "--arch", str(picture))
    assert code == 2 and "arch.png is not a text file" in err and err.count("\n") == 1


def test_weights_that_do_not_name_their_data_set_are_refused(capsys, tmp_path):
    """As converted official ones, whose images are not here."""
    from labkit.supernet import weights_file as pretrained
    from labkit.supernet.supernet import Supernet

    file = tmp_path / "converted.safetensors"
    pretrained.save(file, Supernet(FMNIST), {"source": {}})
    code, _, err = run(capsys, "evaluate", "--arch", "smallest", "--weights", str(file))
    assert code == 2 and "does not say which data set" in err and err.count("\n") == 1


@pytest.mark.parametrize("group", [[], ["lut"], ["weights"]])
def test_without_a_command_the_commands_are_listed(capsys, group):
    _, out, err = run(capsys, *group)
    assert "Usage:" in out + err and (out + err).count("\n") > 5


def test_a_data_folder_that_is_not_there_is_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "gone"))
    code, out, err = run(capsys, "search", "--device", "pi4")
    assert code == 2 and out == "" and "LABKIT_DATA" in err and err.count("\n") == 1


def test_a_reader_that_has_seen_enough_ends_it_quietly():
    """As in `labkit pareto | head -1`."""
    with subprocess.Popen(
        [sys.executable, "-m", "labkit", "devices", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 1


def test_a_terminal_of_few_letters_shows_what_it_can(tmp_path):
    """The title of a board is printed, whatever the encoding has."""
    from labkit.storage.paths import data_dir

    cache = tmp_path / "cache" / "latency" / "my-board"
    cache.mkdir(parents=True)
    value = json.loads(
        (data_dir() / "latency" / "epyc-1core" / "fmnist.json").read_text(encoding="utf-8")
    )
    value["made"]["cpu"] = "\N{GREEK CAPITAL LETTER OMEGA} core"
    (cache / "fmnist.json").write_text(json.dumps(value), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "labkit", "devices"],
        capture_output=True,
        timeout=120,
        env={**os.environ, "LABKIT_CACHE": str(tmp_path / "cache"), "PYTHONIOENCODING": "latin-1"},
    )
    assert done.returncode == 0 and b"? core" in done.stdout and done.stderr == b""


def test_ctrl_c_in_a_training_says_how_it_goes_on(capsys, monkeypatch, tmp_path):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("labkit.train.train", interrupted)
    code, _, err = run(capsys, "train", "--out", str(tmp_path / "run"))
    assert (
        code == 130
        and "--resume goes on from the last checkpoint" in err
        and "Traceback" not in err
    )


def test_archs_come_by_name_json_or_file(tmp_path):
    arch = FMNIST.smallest()
    assert (
        read_arch(FMNIST, "smallest") == arch
        and read_arch(FMNIST, json.dumps(arch.to_json())) == arch
    )
    file = tmp_path / "found.json"
    file.write_text(
        json.dumps({"arch": arch.to_json(), "latency_ms": 1.0})
    )  # what `labkit search --json` prints
    assert read_arch(FMNIST, str(file)) == arch
    file.write_text(json.dumps(arch.to_json()), encoding="utf-8-sig")
    assert read_arch(FMNIST, str(file)) == arch


def test_a_search_imports_neither_torch_nor_a_runtime():
    script = (
        "import sys; sys.argv = ['labkit', 'search', '--device', 'pi4', '--generations', '5',"
        " '--json']\nfrom labkit.cli import main\ntry: main()\nexcept SystemExit as stop: assert"
        " stop.code == 0\nheavy = {'torch', 'onnxruntime', 'sklearn', 'matplotlib'} &"
        " set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_explains_itself(capsys, name):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0 and name in out and cli.commands[name].help
    obvious = {"population", "generations", "epochs", "batch", "method", "split", "dataset", "out"}
    for option in cli.commands[name].params:
        told = getattr(option, "help", None) or option.name in obvious
        assert told or option.name.upper() in cli.commands[name].help, (
            option.name
        )  # arguments: in the command's text


def test_deploy_writes_verified_models(capsys, tmp_path):
    import numpy as np
    import onnxruntime

    done = as_json(
        capsys,
        "deploy",
        "--arch",
        "smallest",
        "--to",
        str(tmp_path / "m.onnx"),
        "--int8",
        "--split",
        "val",
    )
    assert done["max_difference"] <= 1e-4 and done["accuracy"] > 80 and done["accuracy_drop"] < 2
    for file in ("m.onnx", "m.int8.onnx"):
        session = onnxruntime.InferenceSession(
            str(tmp_path / file), providers=["CPUExecutionProvider"]
        )
        image = np.zeros((1, *session.get_inputs()[0].shape[1:]), dtype=np.float32)
        assert session.run(None, {session.get_inputs()[0].name: image})[0].shape == (1, 10)
        record = json.loads(session.get_modelmeta().custom_metadata_map["labkit"])
        assert record == json.loads((tmp_path / f"{file}.json").read_text())
        weights = Path(load("fmnist").weights_path).read_bytes()
        assert record["supernet_sha256"] == hashlib.sha256(weights).hexdigest()
        assert record["accuracy"]["percent"] == done["int8_" * ("int8" in file) + "accuracy"]
        assert record["output"]["classes"][9] == "Ankle boot"


def test_run_classifies_image_files(capsys, tmp_path):
    model = tmp_path / "m.onnx"
    as_json(capsys, "deploy", "--arch", "smallest", "--to", str(model), "--split", "val")
    test = load("fmnist").dataset.splits["test"]
    files = []
    for i in range(8):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(test.images[i, 0].numpy()).resize((280, 280)).save(files[-1])
    done = as_json(capsys, "run", str(model), *map(str, files))
    classes = load("fmnist").dataset.classes
    names = [next(iter(image["probabilities"])) for image in done["images"]]
    right = sum(name == classes[label] for name, label in zip(names, test.labels[:8]))
    assert right >= 6 and [image["image"] for image in done["images"]] == list(map(str, files))
    code, out, _ = run(capsys, "run", str(model), str(files[0]))
    assert code == 0 and out.startswith(f"{files[0]}  {names[0]}  ") and out.endswith("%\n")
    code, _, err = run(capsys, "run", str(model), str(tmp_path / "no.png"))
    assert code == 2 and "no.png is no image" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "file, option, message",
    [
        ("m.onnx", ("--precision", "int8"), "ONNX has no option --precision"),
        ("m.tflite", ("--board", "cortex-m4"), "LiteRT has no option --board"),
        ("m.pte", ("--int8",), "ExecuTorch has no option --int8"),
        ("m.onnx", ("--images", "5"), "ONNX has no option --images"),
        ("m.keras", (), "no format is called"),
    ],
)
def test_an_option_that_a_format_lacks_is_named(capsys, tmp_path, file, option, message):
    code, _, err = run(
        capsys, "deploy", "--arch", "smallest", "--to", str(tmp_path / file), *option
    )
    assert code == 2 and message in err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "file, missing, message",
    [
        ("m.tflite", "tflite_micro", "pip install -e '.[mcu]' in the checkout"),
        ("firmware", "tflite_micro", "pip install -e '.[mcu]' in the checkout"),
        ("m.onnx", "onnx", "pip install -e '.[deploy]' in the checkout"),
        ("m.pte", "executorch", "pip install -e '.[phone]' in the checkout"),
        ("m.mlpackage", "coremltools", "pip install -e '.[phone]' in the checkout"),
    ],
)
def test_packages_that_a_deployment_lacks_are_named_before_the_work(
    capsys, monkeypatch, tmp_path, file, missing, message
):
    # Imported anew, as in another process.
    for module in ("runtime.onnx_graph", "deploy.onnx.export", "deploy.onnx.deployment"):
        monkeypatch.delitem(sys.modules, f"labkit.{module}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(
        "labkit.supernet.weights_file.load", lambda path: pytest.fail("the work has begun")
    )
    code, _, err = run(capsys, "deploy", "--arch", "smallest", "--to", str(tmp_path / file))
    assert code == 2 and message in err and err.count("\n") == 1


def test_every_device_gets_its_subnet(capsys, tmp_path):
    """In a space without a trained supernet, so that nothing has to be deployed."""
    value = as_json(
        capsys,
        "specialize",
        "--supernet",
        "ofa-mbv3",
        "--predictor",
        "synthetic",
        "--device",
        "pixel1:20%",
        "--device",
        "pi4:60%",
        "--out",
        str(tmp_path / "out"),
    )
    assert {device["name"] for device in value["devices"]} == {"pixel1", "pi4"}
    assert [value["over_budget"][i][i] <= 1 for i in range(2)] == [True, True]
    assert "predicted" in value["accuracy_is"] and value["too_slow"][0][1]
    assert (tmp_path / "out" / "specialize.png").read_bytes().startswith(b"\x89PNG")


def test_search_cost_is_listed(capsys):
    cost = as_json(capsys, "cost", "--devices", "40")
    published = {row["method"]: row for row in cost["published"]}
    # OFA, Table 1: 200 N GPU hours to search, 300 N to train.
    assert published["ProxylessNAS"]["total for 40"] == 40 * (200 + 300)
    assert cost["ours"]
    code, _, err = run(capsys, "cost", "--devices", "1" + 400 * "0")
    assert code == 2 and "is not in the range 1<=x<=1000000000" in err


@pytest.mark.parametrize("latency", ["table", "regression"])
def test_a_board_is_searched_by_table_and_by_regression(capsys, tmp_path, monkeypatch, latency):
    """A shared latency file, from its import to a subnet: both ways to predict meet the limit."""
    from labkit.latency.devices import get_device

    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    shared = tmp_path / "shared.json"
    assert run(capsys, "lut", "export", "--device", "epyc-1core", "--out", str(shared))[0] == 0
    if latency == "regression":  # which takes more whole subnets than a table
        value, genes = json.loads(shared.read_text()), FMNIST.sample(np.random.default_rng(0), 100)
        milliseconds = get_device("epyc-1core").latency_table(FMNIST)(genes).tolist()
        value["subnets"] = [
            {**value["subnets"][0], "arch": arch.to_json(), "median_ms": ms, "low_ms": ms}
            | {"high_ms": ms}
            for arch, ms in zip(FMNIST.decode(genes), milliseconds)
        ]
        shared.write_text(json.dumps(value))
    assert run(capsys, "lut", "import", str(shared), "--name", "my-board")[0] == 0
    found = as_json(
        capsys,
        "search",
        "--device",
        "my-board",
        "--latency",
        latency,
        "--max-latency-ms",
        "0.11",
        "--method",
        "exact",
    )
    genes = FMNIST.encode([Arch.from_json(found["arch"])])
    predicted = getattr(get_device("my-board"), f"latency_{latency}")(FMNIST)(genes)[0]
    assert found["latency_ms"] == pytest.approx(predicted) and predicted <= 0.11
    assert found["latency_is"].startswith("measured") and found["latency_by"] == latency
    compared = as_json(capsys, "lut", "compare", "epyc-1core", "my-board")
    for device in compared["devices"]:
        assert [*device["ratio"].values()] == pytest.approx([1.0] * len(device["ratio"]))


def test_an_import_says_which_table_it_replaces(capsys, tmp_path, monkeypatch):
    from latency_for_tests import TINY, made_up, save

    from labkit.latency.measured.table_files import table_path
    from labkit.space.presets import spaces

    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(spaces, "tiny", TINY)
    value = made_up()
    value["made"].update(cpu="Cortex-A72", date="2026-03-01T10:00:00Z")
    command = ["lut", "import", str(save(value, tmp_path / "latency.json")), "--name", "my-board"]
    assert "replaces" not in run(capsys, *command)[1]
    save(made_up(FMNIST), tmp_path / "latency.json")  # of another space: it stands beside the first
    assert "replaces" not in run(capsys, *command)[1]
    save(made_up(), tmp_path / "latency.json")
    code, out, _ = run(capsys, *command)
    assert code == 0 and "device 'my-board' is ready" in out
    assert (
        "replaces the table that 'my-board' had for space 'tiny' (12, 16 px, 2026-03-01T10:00:00Z,"
        " Cortex-A72)" in out
    )
    table_path("my-board", TINY).write_text("{")
    assert "(damaged)" in run(capsys, *command)[1]


def test_this_machine_is_measured_again(capsys, tmp_path, monkeypatch):
    from latency_for_tests import COARSE, TINY

    from labkit.latency.measured import measurement as measure
    from labkit.space.presets import spaces

    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(spaces, "tiny", TINY)
    monkeypatch.setattr(measure, "DEFAULT", COARSE)
    made = [as_json(capsys, "lut", "measure", "--supernet", "tiny")["made"] for _ in range(2)]
    assert made[0]["limits"] == COARSE._asdict() and made[0]["runtime"] == "onnxruntime"
    assert (
        json.loads(next((tmp_path / "cache" / "latency" / "host").glob("tiny-*.json")).read_text())[
            "made"
        ]
        == made[1]
    )


def test_a_kit_is_packed_and_a_wrong_file_not_imported(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    code, out, _ = run(capsys, "lut", "pack", "--out", str(tmp_path / "kit.zip"))
    assert code == 0 and (tmp_path / "kit.zip").stat().st_size > 100_000
    wrong = tmp_path / "latency.json"
    wrong.write_text('{"what": "latency"}')
    code, _, err = run(capsys, "lut", "import", str(wrong), "--name", "my-board")
    assert code == 2 and "latency.json" in err and not (tmp_path / "cache").exists()


def test_official_weights_are_said_to_be_where_they_are(capsys, monkeypatch, tmp_path):
    from types import SimpleNamespace

    from labkit.space.presets import get_space

    space = get_space("ofa-mbv3")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "labkit.official.published_weights.load", lambda name: SimpleNamespace(space=space)
    )
    monkeypatch.setattr(
        "labkit.official.imagenet.evaluate",
        lambda supernet, archs, path: [SimpleNamespace(top1=76.0, top5=93.0, images=10)],
    )
    value = as_json(
        capsys,
        "evaluate",
        "--supernet",
        "ofa-mbv3",
        "--arch",
        "largest",
        "--data",
        "imagenet",
        "--path",
        ".",
    )
    assert (
        value["weights"] == str(tmp_path / "supernets" / "ofa-mbv3.safetensors")
        and value["split"] == "val"
    )


def test_weights_without_a_data_set_in_the_place_of_trained_ones(capsys, monkeypatch, tmp_path):
    """As when somebody copies converted official ones there."""
    from labkit.supernet import weights_file as pretrained
    from labkit.supernet.supernet import Supernet

    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    pretrained.save(
        tmp_path / "supernets" / "fmnist" / "supernet.safetensors", Supernet(FMNIST), {"source": {}}
    )
    for command in (
        ["deploy", "--arch", "smallest", "--to", "m.onnx"],
        ["demo", "--devices", "host", "--out", "."],
    ):
        code, _, err = run(capsys, *command)
        assert code == 2 and "does not say which data set" in err and err.count("\n") == 1


@pytest.mark.parametrize("space, says", [("fmnist", "one in "), ("narrow", "all of them:")])
def test_a_front_says_which_of_its_points_are_shown(capsys, monkeypatch, space, says):
    from labkit.space import SearchSpace, Stage
    from labkit.space.presets import spaces

    monkeypatch.setitem(
        spaces,
        "narrow",
        SearchSpace("narrow", (16,), (Stage(8, 2, (1,), (3, 5), (2, 3)),), 1, 2, 8),
    )
    invented = [] if space == "fmnist" else ["--predictor", "synthetic"]
    code, out, _ = run(capsys, "pareto", "--supernet", space, "--device", "pi4", *invented)
    head, *points = out.splitlines()
    count = int(head.split()[0])
    step = int(head.split("one in ")[1].rstrip(":")) if says == "one in " else 1
    assert code == 0 and says in head and len(points) == -(-count // step)


@pytest.mark.slow
def test_a_supernet_of_ones_own_is_used_like_a_shipped_one(capsys, tmp_path):
    folder = str(tmp_path / "mine")
    short = ["--epochs", "1", "--steps-per-epoch", "3", "--batch", "8"]
    assert run(capsys, "train", "--out", folder, *short)[0] == 0
    code, _, err = run(capsys, "search", "--supernet", folder, "--device", "pi4")
    assert code == 2 and f"make it again with `labkit measure --supernet {folder}`" in err
    errors = as_json(capsys, "measure", "--supernet", folder, "--pairs", "14")["held_out"]
    answer = as_json(capsys, "search", "--supernet", folder, "--device", "pi4")
    assert answer["supernet"] == "mine" and answer["space"] == "fmnist"
    assert answer["predictor"] == "fitted to 14 measured subnets"
    assert answer["predictor_rmse"] == errors["separable"]["rmse"]
    arch = json.dumps(answer["arch"])
    measured = as_json(capsys, "evaluate", "--supernet", folder, "--arch", arch)
    assert 0 <= measured["accuracy"] <= 100 and measured["weights"].startswith(folder)


@pytest.mark.parametrize(
    "arguments, name",
    [
        ("space new", "space.toml"),
        ("space show fmnist --picture", "space.png"),
        ("pareto --device pi4 --picture", "front.svg"),
        ("cost --picture", "cost.pdf"),
        ("devices new --like stm32h743", "device.json"),
        ("lut keys --out", "keys.csv"),
        ("lut export --device epyc-1core --out", "table.json"),
        ("lut pack --subnets 8 --out", "kit.zip"),
        ("deploy --arch smallest --to", "subnet.onnx"),
        ("train --epochs 1 --steps-per-epoch 1 --batch 8 --out", "run"),
        ("release --out", "course"),
        ("specialize --device pi4:50% --device pixel1:50% --out", "folder"),
    ],
)
def test_a_disk_without_room_is_said_with_the_file(tmp_path, monkeypatch, arguments, name):
    """A limit on the size of a file stands for the disk: one that is full cannot be made here."""
    resource = pytest.importorskip("resource")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    load_data("fashion-mnist")  # unpacked before
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        result = CliRunner().invoke(cli, [*arguments.split(), str(tmp_path / name)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error = result.exception
    assert isinstance(error, OSError) and error.errno == errno.EFBIG, result.output
    assert re.search(rf"cannot write {tmp_path / name}\S*: File too large; make room", str(error))
    left = [path for path in tmp_path.rglob("*") if path.is_file() and "cache" not in path.parts]
    assert not left


@pytest.mark.parametrize(
    "arguments, file, work",
    [
        ("lut measure", "cache/latency/host/fmnist-", "latency.measured.table_files.measure"),
        ("adopt photos --devices pi4,stm32h743", "adopted/photos/clock.json", "adopt.plan.train"),
        ("grade 01_supernet.ipynb", "grades.csv", "course.grading.grade.grade_all"),
    ],
)
def test_long_work_looks_for_room_before_it_begins(tmp_path, monkeypatch, arguments, file, work):
    resource = pytest.importorskip("resource")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_CACHE", "cache")
    monkeypatch.setattr(f"labkit.{work}", lambda *_, **__: pytest.fail("it began"))
    write_pictures(Path("photos"), classes=2, per_class=8)
    shutil.copy(Path(labkit.__file__).parents[1] / "notebooks" / "01_supernet.ipynb", tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        result = CliRunner().invoke(cli, arguments.split())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert re.search(rf"cannot write \S*{file}\S*: File too large", str(result.exception))
