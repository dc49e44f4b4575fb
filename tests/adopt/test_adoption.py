"""From images to networks: the whole way, and where an interrupted one goes on."""

import json

import pytest
from pictures_for_tests import write_pictures

from labkit.adopt import adoption as adopting
from labkit.adopt import trained_once as training
from labkit.adopt.adoption import adopt, with_more_time
from labkit.adopt.adoption_report import write_adoption_report
from labkit.adopt.plan import PlanError, training_config
from labkit.specialize.targets import Request
from labkit.storage.errors import LabError

REQUESTS = [Request("pi4", 50, True), Request("stm32h743", 30, True)]


@pytest.fixture(name="photos")
def folder_of_photos(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(adopting, "LEAST_PAIRS", 20)
    monkeypatch.setattr(adopting, "MOST_PAIRS", 20)
    return write_pictures(tmp_path / "my photos!", classes=2, per_class=16)


def quick_plan(monkeypatch, epochs=2):
    """The cheapest space for a few epochs, whatever the time."""

    def make_plan(folder, spaces, seconds, **options):
        config = adopting_config(folder, spaces[-1], options["augment"])
        return adopting.Plan(config, 1.0).within(epochs)

    monkeypatch.setattr(adopting, "make_plan", make_plan)


def adopting_config(folder, space, augment):
    return training_config(folder, space, augment=augment, device="cpu")


@pytest.mark.slow
def test_images_become_networks_and_a_report(photos, tmp_path, monkeypatch):
    quick_plan(monkeypatch)
    said = []
    options = {"device": "cpu", "progress": False, "say": said.append}
    adoption = adopt(photos, tmp_path / "out", REQUESTS, 1.0, **options)
    assert adoption.trained.missing() == {} and adoption.pairs == 20
    assert adoption.trained.space.name == "my-photos" and len(said) == 4
    assert set(adoption.seconds) == {"planning", "training", "measuring", "deploying"}
    for request in REQUESTS:
        assert (tmp_path / "out" / "networks" / f"{request.device}.onnx").is_file()
    page = write_adoption_report(adoption, tmp_path / "out").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 2 and with_more_time(adoption)[:30] in page
    assert "Not in this report" not in page
    assert "STM32H743" in page and "2 classes" in page
    # Everything is there: the same call trains and measures nothing again.
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("it trains again"))
    monkeypatch.setattr(adopting, "measure", lambda *_, **__: pytest.fail("it measures again"))
    again = adopt(photos, tmp_path / "out", REQUESTS, 1.0, **options)
    assert again.plan == adoption.plan
    assert again.seconds["training"] == adoption.seconds["training"]


def test_an_interrupted_adoption_keeps_its_plan(photos, tmp_path, monkeypatch):
    quick_plan(monkeypatch)

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


def test_a_device_that_nothing_fits_is_named_before_any_work(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(adopting, "candidates", lambda *_, **__: iter(()))
    with pytest.raises(PlanError, match="fits stm32h743"):
        adopt(photos, tmp_path / "out", REQUESTS, 1.0)
    with pytest.raises(LabError, match="unknown device 'pi5'"):
        adopt(photos, tmp_path / "out", [Request("pi5", 50, True)], 1.0)
    assert not (tmp_path / "out").exists()
