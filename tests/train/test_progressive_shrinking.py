from dataclasses import replace

import numpy as np
import pytest
import torch
from spaces_for_tests import WIDE, make_it_bite

from labkit.space.presets import FMNIST, get_space
from labkit.storage import tensor_file as checkpoint
from labkit.supernet.supernet import Supernet
from labkit.train import RECIPES, TrainConfig, train
from labkit.train.progressive_shrinking import channel_orders, first_steps, sort_channels
from labkit.train.step import training_step
from labkit.train.train_state import TrainState


@pytest.mark.parametrize("name", ["fmnist", "ofa-mbv3"])
def test_sorting_keeps_the_function_of_the_largest_arch_and_puts_important_channels_first(name):
    space = get_space(name)
    supernet = make_it_bite(Supernet(space)).double()
    side = space.largest().resolution
    images = torch.randn(2, space.in_channels, side, side, dtype=torch.float64)
    with torch.no_grad():
        before = supernet(images, space.largest())
        narrow = supernet(
            images[..., : space.resolutions[0], : space.resolutions[0]], space.smallest()
        )
        sort_channels(dict(supernet.named_parameters()), channel_orders(supernet))
        torch.testing.assert_close(supernet(images, space.largest()), before, rtol=1e-9, atol=1e-9)
        after = supernet(
            images[..., : space.resolutions[0], : space.resolutions[0]], space.smallest()
        )
        assert (after - narrow).abs().max() > 1e-3  # other channels than before
    for block in supernet.blocks.values():
        norms = np.abs(block.project.get_submodule("0").weight.detach().numpy()).sum((0, 2, 3))
        assert (np.diff(norms) <= 1e-12).all()


def test_momenta_and_average_move_with_their_weights():
    state = TrainState(TrainConfig())
    for parameter in state.supernet.parameters():
        state.optimizer.state[parameter]["momentum_buffer"] = 2 * parameter.detach()
    state.sort_channels()
    for name, parameter in state.supernet.named_parameters():
        assert torch.equal(dict(state.average.named_parameters())[name], parameter)
        assert torch.equal(state.optimizer.state[parameter]["momentum_buffer"], 2 * parameter)


def test_phases_open_one_dimension_after_the_other():
    recipe, opened = RECIPES["progressive"], []
    for step in range(100):
        phase = recipe.phase_at(step, 100)
        archs = recipe.archs(FMNIST, np.random.default_rng(step), phase)
        assert len(archs) == phase.archs
        for arch in archs:
            FMNIST.validate(arch)
        opened.append(
            [
                len({a.resolution for a in archs} - {28}) > 0,
                any(b.kernel < 7 for a in archs for s in a.stages for b in s),
                any(sum(a.depths) < 11 for a in archs),
                any(b.expand < 4 for a in archs for s in a.stages for b in s),
            ]
        )
    assert [int(np.argmax(column)) // 10 for column in np.array(opened).T] == [3, 4, 5, 7]
    assert (
        first_steps(recipe.phases, 100) == [0, 30, 40, 55, 65, 75, 85]
        and recipe.sorted_at(100) == 75
    )


def test_widths_open_with_the_expand_ratios():
    rng, widths = np.random.default_rng(0), []
    for phase in RECIPES["progressive"].phases:
        archs = [arch for _ in range(30) for arch in RECIPES["progressive"].archs(WIDE, rng, phase)]
        WIDE.encode(archs)
        widths.append({arch.width for arch in archs})
    assert widths == [{1.0}] * 5 + [{0.75, 1.0}, {0.5, 0.75, 1.0}]


def test_a_teacher_shares_the_loss_with_the_labels():
    supernet, teacher = make_it_bite(Supernet(FMNIST)), make_it_bite(Supernet(FMNIST), seed=1)
    images, labels = torch.randn(4, 1, 28, 28), torch.tensor([1, 2, 3, 4])
    arch = FMNIST.largest()
    got = training_step(supernet, RECIPES["progressive"], [arch], images, labels, 0.0, teacher)
    with torch.no_grad():
        log_p, log_q = (net(images, arch).double().log_softmax(1) for net in (supernet, teacher))
    by_hand = -(log_p[range(4), labels] + (log_q.exp() * log_p).sum(1)).mean() / 2
    assert got == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_resumed_run_keeps_teacher_and_sorting(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("labkit.train.loop.CURVE_IMAGES", 100)
    config = replace(TrainConfig(recipe="progressive"), epochs=1, steps_per_epoch=10, batch=8)
    train(config, tmp_path / "whole", progress=False)
    uninterrupted = checkpoint.read(tmp_path / "whole" / "checkpoint.safetensors")[0]
    assert any(name.startswith("teacher.") for name in uninterrupted)
    for cut in (
        3,
        5,
        8,
    ):  # as the teacher is due, with a teacher, as sorting is due (steps 3 and 8)

        def dies(*args, cut=cut, state=[0], **options):  # noqa: B006
            state[0] += 1
            if state[0] > cut:
                raise KeyboardInterrupt
            return training_step(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr("labkit.train.loop.training_step", dies)
            with pytest.raises(KeyboardInterrupt):
                train(config, tmp_path / f"cut{cut}", progress=False, checkpoint_every=1)
        train(config, tmp_path / f"cut{cut}", resume=True, progress=False)
        resumed = checkpoint.read(tmp_path / f"cut{cut}" / "checkpoint.safetensors")[0]
        assert resumed.keys() == uninterrupted.keys() and all(
            torch.equal(resumed[n], uninterrupted[n]) for n in uninterrupted
        )
