"""From images to networks: the whole way, its time, and where an interrupted one goes on."""

import contextlib
import itertools
import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from pictures_for_tests import write_pictures

from labkit.adopt import adoption as adopting
from labkit.adopt import clock as clocks
from labkit.adopt import trained_once as training
from labkit.adopt.adoption import adopt, with_more_time
from labkit.adopt.adoption_report import write_adoption_report
from labkit.adopt.after_training import rehearse_deploying
from labkit.adopt.plan import Plan, PlanError, training_config
from labkit.adopt.space_template import write_space
from labkit.data.record import DataError
from labkit.space import get_space
from labkit.specialize.targets import Request
from labkit.storage.errors import LabError
from labkit.supernet.accuracy_files import PREDICTOR

REQUESTS = [Request("pi4", 50, True), Request("stm32h743", 30, True)]
IMPORTING = 20.0  # seconds before a made-up machine's work begins, which count as well


@pytest.fixture(name="photos")
def folder_of_photos(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    return write_pictures(tmp_path / "my photos!", classes=2, per_class=16)


def quick_plan(monkeypatch, epoch_seconds=1.0):
    """The cheapest space, an epoch of which takes as long as is said."""

    def make_plan(folder, spaces, seconds, **options):
        config = training_config(folder, spaces[-1], device="cpu")
        return Plan(config, epoch_seconds).within(seconds)

    monkeypatch.setattr(adopting, "make_plan", make_plan)
    monkeypatch.setattr(adopting, "use_faster_threads", lambda: None)


@pytest.mark.slow
def test_images_become_networks_and_a_report(photos, tmp_path, monkeypatch):
    quick_plan(monkeypatch)
    monkeypatch.setattr(adopting, "LEAST_PAIRS", 20)
    monkeypatch.setattr(adopting, "MOST_PAIRS", 20)

    def rehearsed(*arguments):
        assert rehearse_deploying(*arguments) > 0
        return 5.0

    monkeypatch.setattr(adopting, "rehearse_deploying", rehearsed)
    ticks = itertools.count(0.0, 0.25)  # each time that somebody looks at the clock
    monkeypatch.setattr(clocks.time, "monotonic", lambda: next(ticks))
    monkeypatch.setattr(clocks, "BEAT", 1e6)
    said = []
    options = {"device": "cpu", "progress": False, "say": said.append}
    adoption = adopt(photos, tmp_path / "out", REQUESTS, 0.5, **options)
    assert adoption.trained.missing() == {} and adoption.pairs == 20
    assert adoption.trained.space.name == "my-photos" and len(said) == 5
    parts = ["planning", "rehearsal", "training", "measuring", "deploying", "report"]
    assert list(adoption.seconds) == parts
    seconds = sum(adoption.seconds[part] for part in parts[:3])
    assert seconds == pytest.approx(0.85 * 0.98 * 30 - 5.0, abs=2)  # and not a step more
    assert adoption.epochs > 1
    for request in REQUESTS:
        assert (tmp_path / "out" / "networks" / f"{request.device}.onnx").is_file()
    page = write_adoption_report(adoption, tmp_path / "out").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 2 and with_more_time(adoption)[:30] in page
    assert "Not in this report" not in page
    assert "STM32H743" in page and "2 classes" in page
    # Everything is there: the same call trains and measures nothing again.
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("it trains again"))
    monkeypatch.setattr(adopting, "measure", lambda *_, **__: pytest.fail("it measures again"))
    again = adopt(photos, tmp_path / "out", REQUESTS, 0.5, **options)
    assert again.plan == adoption.plan
    assert again.seconds["training"] == adoption.seconds["training"]


class Machine:
    """One that takes `pace` times as long from some second on; its work is made up."""

    def __init__(self, monkeypatch, pace: float, since: float, dies: tuple[float, ...]) -> None:
        self.now, self.pace, self.since, self.dies = 0.0, pace, since, list(dies)
        self.epochs = 0.0
        replaced = {
            "host_table": lambda space, progress, seconds: self.work(seconds),
            "rehearse_deploying": lambda *_: self.work(100) or 100.0,
            "count_pairs": lambda trained, seconds: int(seconds / self.slowed(0.5)),
            "measure": lambda trained, pairs, *_: self.work(0.5 * pairs),
            "specialize": lambda *_, **__: self.work(100),
            "load": self.load,
        }
        for name, value in replaced.items():
            monkeypatch.setattr(adopting, name, value)
        monkeypatch.setattr(training, "train", self.train)
        monkeypatch.setattr(training, "load", self.load)
        monkeypatch.setattr(clocks.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(clocks, "BEAT", 1e6)

    def slowed(self, seconds: float) -> float:
        return seconds * (self.pace if self.now >= self.since else 1.0)

    def work(self, seconds: float) -> None:
        self.now += self.slowed(seconds)

    def load(self, run):
        config = {**asdict(self.config), "epochs": round(self.epochs)}
        return SimpleNamespace(record={"config": config}, missing=lambda: {PREDICTOR: ""})

    def train(self, config, run, clock, resume, **options):
        assert resume
        self.config = config
        while clock() < 1:
            self.work(1.0)
            self.epochs += 0.1
            if self.dies and self.now >= self.dies[0]:
                self.dies.pop(0)
                raise KeyboardInterrupt


@pytest.mark.parametrize("dies", [(), (500, 900)], ids=["", "killed twice"])
@pytest.mark.parametrize("pace, since", [(1, 0), (3, 700), (0.3, 500), (2, 1400)])
def test_the_time_holds_on_a_machine_that_changes_speed(
    photos, tmp_path, monkeypatch, pace, since, dies
):
    quick_plan(monkeypatch, epoch_seconds=10.0)
    machine = Machine(monkeypatch, pace, since, dies)
    for attempt in range(len(dies) + 1):
        with contextlib.ExitStack() as interrupted:
            if attempt < len(dies):
                interrupted.enter_context(pytest.raises(KeyboardInterrupt))
            since = machine.now
            machine.work(IMPORTING)
            requests = [Request("host", 50, True), *REQUESTS]
            adoption = adopt(photos, tmp_path / "out", requests, 30, progress=False, since=since)
    assert adoption.total_seconds == pytest.approx(machine.now)
    assert machine.now == pytest.approx(30 * 60, rel=0.1)


def test_an_interrupted_adoption_keeps_its_plan(photos, tmp_path, monkeypatch):
    quick_plan(monkeypatch)
    monkeypatch.setattr(adopting, "rehearse_deploying", lambda *_: 1.0)

    def interrupted(config, out, **options):
        configs.append(config)
        assert options["resume"]
        raise KeyboardInterrupt

    configs = []
    monkeypatch.setattr(training, "train", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            adopt(photos, tmp_path / "out", REQUESTS, 1.0, device="cpu", progress=False)
        monkeypatch.setattr(adopting, "make_plan", lambda *_, **__: pytest.fail("planned again"))
    assert configs[0] == configs[1] and (tmp_path / "out" / "space.toml").is_file()
    file = tmp_path / "out" / "plan.json"
    value = json.loads(file.read_text())
    file.write_text(json.dumps({**value, "config": {**value["config"], "epochs": -1}}))
    with pytest.raises(PlanError, match="plan.json: config: epochs must be positive.*begin anew"):
        adopt(photos, tmp_path / "out", REQUESTS, 1.0)


def test_a_folder_goes_on_with_what_it_was_begun_with_or_not_at_all(photos, tmp_path, monkeypatch):
    quick_plan(monkeypatch)
    monkeypatch.setattr(adopting, "rehearse_deploying", lambda *_: 1.0)
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("it trains"))
    others = write_pictures(tmp_path / "others", classes=2, per_class=16)
    out, options = tmp_path / "out", {"device": "cpu", "progress": False}
    with pytest.raises(BaseException, match="it trains"):
        adopt(photos, out, REQUESTS, 1.0, **options)
    with pytest.raises(PlanError, match="begun with dataset '.*photos!', not '.*others'; .*--out"):
        adopt(others, out, REQUESTS, 1.0, **options)
    with pytest.raises(PlanError, match="begun with augment 'crop,flip', not 'crop'"):
        adopt(photos, out, REQUESTS, 1.0, augment="crop", **options)
    with pytest.raises(PlanError, match="begun with seed 0, not 1"):
        adopt(photos, out, REQUESTS, 1.0, seed=1, **options)
    write_space(out / "other.toml", get_space("fmnist"))
    (out / "other.toml").rename(out / "space.toml")
    with pytest.raises(PlanError, match="space.toml is not the space that was planned; remove it"):
        adopt(photos, out, REQUESTS, 1.0, **options)


def test_what_cannot_end_well_is_refused_before_any_work(photos, tmp_path):
    with pytest.raises(ValueError, match="device 'pi4' is given twice"):
        adopt(photos, tmp_path / "out", [*REQUESTS, Request("pi4", 5)], 1.0)
    with pytest.raises(DataError, match="adopted lies in the folder of images .*--out DIR"):
        adopt(photos, photos / "adopted", REQUESTS, 1.0)
    assert not (tmp_path / "out").exists() and not (photos / "adopted").exists()


def test_a_device_that_nothing_fits_is_named_before_any_work(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(adopting, "candidates", lambda *_, **__: iter(()))
    with pytest.raises(PlanError, match="fits stm32h743"):
        adopt(photos, tmp_path / "out", REQUESTS, 1.0)
    with pytest.raises(LabError, match="unknown device 'pi5'"):
        adopt(photos, tmp_path / "out", [Request("pi5", 50, True)], 1.0)
    assert not (tmp_path / "out").exists()
