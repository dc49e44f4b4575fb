"""What is planned for a time, with speeds that are made up instead of measured."""

from dataclasses import replace

import pytest
import torch
from pictures_for_tests import write_pictures
from threadpoolctl import threadpool_info, threadpool_limits

from labkit.adopt import plan as planning
from labkit.adopt.plan import LEAST_EPOCHS, PlanError, candidates, make_plan, step_macs
from labkit.latency.devices import get_device
from labkit.specialize.device_costs import DeviceCosts

PER_MAC = 1e-9  # seconds of an epoch, for each MAC of a step
TRAINING_IMAGES = 3 * (30 - 3 * 3)


@pytest.fixture(name="photos")
def folder_of_photos(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))

    def step_seconds(config, seconds, device):
        steps = TRAINING_IMAGES // config.batch
        return PER_MAC * step_macs(config.search_space) / steps

    monkeypatch.setattr(planning, "step_seconds", step_seconds)
    return write_pictures(tmp_path / "photos", classes=3, per_class=30)


def spaces(*devices):
    shape = {"classes": 3, "channels": 3, "side": 40}
    return list(candidates("photos", devices=[get_device(name) for name in devices], **shape))


def test_candidates_descend_and_fit_the_devices():
    every = spaces()
    macs = [step_macs(space) for space in every]
    assert macs == sorted(macs, reverse=True) and len(every) == 3 * 4  # 40, 32 and 24 px
    device = get_device("mcu-64k")
    fitting = spaces("pi4", "mcu-64k")
    assert 0 < len(fitting) < len(every)
    for space in every:
        fits = DeviceCosts(space, device).fits([space.smallest()])[0]
        assert fits == (space in fitting)


def test_the_most_expensive_space_with_enough_epochs_is_chosen(photos):
    every = spaces()
    cost = [LEAST_EPOCHS * PER_MAC * step_macs(space) for space in every]
    plan = make_plan(photos, every, 1.001 * cost[4])
    assert plan.config.search_space == every[4] and plan.config.epochs == LEAST_EPOCHS
    plan = make_plan(photos, every, 3.001 * cost[0])
    assert plan.config.search_space == every[0] and plan.config.epochs == 3 * LEAST_EPOCHS
    plan = make_plan(photos, every, 1.001 * cost[-1] / 10)
    assert plan.config.search_space == every[-1] and plan.config.epochs == LEAST_EPOCHS // 10
    with pytest.raises(PlanError, match="give more --minutes"):
        make_plan(photos, every, cost[-1] / LEAST_EPOCHS / 2)


def test_a_plan_fills_its_time_and_not_more(photos):
    plan = make_plan(photos, spaces(), 10.0)
    assert 10.0 - plan.epoch_seconds < plan.config.epochs * plan.epoch_seconds <= 10.0
    shorter = plan.within(5.0)
    assert shorter.config.epochs * plan.epoch_seconds <= 5.0
    assert shorter.config == replace(plan.config, epochs=shorter.config.epochs)


@pytest.mark.parametrize("seconds, probes", [(0.0, planning.PROBES), (1e4, 1)])
def test_few_speeds_are_measured_on_a_machine_that_changes_its_own(
    photos, monkeypatch, seconds, probes
):
    per_mac, now, measured = [1e-9, 4e-9, 16e-9, 64e-9, 256e-9], [0.0], []

    def step_seconds(config, *_):
        now[0] += seconds  # for reading images, more than for the steps
        measured.append(config.search_space)
        return per_mac[len(measured)] * step_macs(config.search_space)

    monkeypatch.setattr(planning, "step_seconds", step_seconds)
    monkeypatch.setattr(planning.time, "perf_counter", lambda: now[0])
    plan = make_plan(photos, spaces(), 1000 * LEAST_EPOCHS * PER_MAC * step_macs(spaces()[-1]))
    assert len(measured) == probes and plan.config.search_space not in measured[-1:]
    steps, rate = TRAINING_IMAGES // plan.config.batch, per_mac[probes]
    expected = steps * rate * step_macs(plan.config.search_space)
    assert plan.epoch_seconds == pytest.approx(expected)


@pytest.mark.parametrize("waiting, faster", [(0.0, 2), (3.0, 1)], ids=["idle", "busy"])
def test_threads_that_wait_for_each_other_are_not_used(waiting, faster):
    threads, now = torch.get_num_threads(), [0.0]

    def work():
        now[0] += 1.0 if torch.get_num_threads() == 1 else 0.5 + waiting

    try:
        torch.set_num_threads(2)
        with threadpool_limits(2):
            planning.use_faster_threads(work, clock=lambda: now[0])
            assert torch.get_num_threads() == faster
            blas = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
            assert set(blas) == {faster}
        before = torch.get_num_threads()  # leaving threadpool_limits has set it anew
        planning.use_faster_threads()
        assert torch.get_num_threads() in (1, before)
    finally:
        torch.set_num_threads(threads)


def test_small_sets_have_small_batches_and_small_steps(photos):
    config = make_plan(photos, spaces(), 10.0).config
    assert config.batch == 8 and TRAINING_IMAGES // 8 < planning.STEPS_AN_EPOCH
    assert config.learning_rate == pytest.approx(0.25 * 8 / 128)


def test_speeds_are_measured_by_short_trainings(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    photos = write_pictures(tmp_path / "photos", classes=2, per_class=15)

    def trained(config, out, progress, device, clock):
        """The first step takes nine seconds, the others two."""
        share = clock()
        assert not progress
        while share < 1:
            lengths[-1] += 1
            now[0] += 2.0 if lengths[-1] > 1 else 9.0
            share = clock()
        lengths.append(0)

    now, lengths = [0.0], [0]
    monkeypatch.setattr(planning, "train", trained)
    monkeypatch.setattr(planning.time, "perf_counter", lambda: now[0])
    space = list(candidates("photos", classes=2, channels=3, side=24))[-1]
    plan = make_plan(photos, [space], 2000.0)  # a hundredth of it: the first step and six others
    steps = 2 * (15 - 3) // plan.config.batch
    assert plan.epoch_seconds == pytest.approx(2.0 * steps) and lengths == [7, 0]
    assert plan.config.epochs == 2000 // (2 * steps)
    assert planning.step_seconds(plan.config, 0.0) == pytest.approx(9.0) and lengths[1] == 1
