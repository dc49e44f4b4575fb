import pytest
import torch
import torch.nn.functional as F

from labkit.supernet.elastic import (
    BatchNormStats,
    BatchStatistics,
    ElasticBatchNorm,
    ElasticConv,
    ElasticDepthwise,
    ElasticSqueezeExcite,
    Recorder,
    depthwise_conv,
)


def test_small_kernels_are_transforms_of_the_center():
    torch.manual_seed(0)
    conv = ElasticDepthwise(6, (3, 5, 7))
    with torch.no_grad():
        conv.transforms["7to5"].normal_()
        conv.transforms["5to3"].normal_()
    # The formula written out, one channel and one output position at a time.
    for c in range(4):
        center = conv.weight[c, 0, 1:6, 1:6].reshape(25)
        five = torch.stack([conv.transforms["7to5"][i] @ center for i in range(25)]).view(5, 5)
        three = torch.stack(
            [conv.transforms["5to3"][i] @ five[1:4, 1:4].reshape(9) for i in range(9)]
        ).view(3, 3)
        torch.testing.assert_close(conv.active(4, 5)[c, 0], five)
        torch.testing.assert_close(conv.active(4, 3)[c, 0], three)
    torch.testing.assert_close(conv.active(6, 7), conv.weight)
    with pytest.raises(ValueError, match="kernel size 9"):
        conv.active(4, 9)


def test_untrained_transforms_crop_the_center():
    conv = ElasticDepthwise(3, (3, 5, 7))
    torch.testing.assert_close(conv.active(3, 3), conv.weight[:, :, 2:5, 2:5])


@pytest.mark.parametrize("side", [4, 7, 8, 9, 14])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_gradients_equal_torchs(side, kernel, stride):
    torch.manual_seed(side * kernel)
    x = (
        torch.randn(3, 5, side, side, dtype=torch.float64)
        .to(memory_format=torch.channels_last)
        .requires_grad_()
    )
    weight = torch.randn(5, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    ours = depthwise_conv(x, weight, stride)
    theirs = F.conv2d(x, weight, None, stride, kernel // 2, groups=5)
    torch.testing.assert_close(ours, theirs)
    pull = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, (x, weight), pull), torch.autograd.grad(theirs, (x, weight), pull)
    ):
        torch.testing.assert_close(a, b)


def test_convolution_uses_the_first_channels():
    conv = ElasticConv(8, 16)
    x = torch.randn(2, 5, 6, 6)
    expected = torch.einsum("oc,nchw->nohw", conv.weight[:7, :5, 0, 0], x)
    torch.testing.assert_close(conv(x, 7), expected, rtol=1e-4, atol=1e-5)


def test_squeeze_excite_narrows_with_its_input():
    se = ElasticSqueezeExcite(64)  # bottleneck 16; over 32 channels it is 8
    x = torch.randn(2, 32, 3, 3)
    pooled = x.mean((2, 3))
    hidden = F.relu(pooled @ se.fc1.weight[:8, :32, 0, 0].T + se.fc1.bias[:8])
    gate = F.hardsigmoid(hidden @ se.fc2.weight[:32, :8, 0, 0].T + se.fc2.bias[:32])
    torch.testing.assert_close(se(x), x * gate[:, :, None, None])


def test_batch_norm_by_formula():
    norm = ElasticBatchNorm(8)
    norm.name = "here"
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_()
    x = torch.randn(4, 5, 3, 3)

    def formula(mean, variance):
        scaled = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        return scaled * norm.weight[:5, None, None] + norm.bias[:5, None, None]

    torch.testing.assert_close(
        norm(x, BatchStatistics()), formula(x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0))
    )
    mean, variance = torch.randn(5), torch.rand(5) + 0.5
    torch.testing.assert_close(
        norm(x, BatchNormStats(here=(mean, variance))), formula(mean, variance)
    )


def test_recorder_averages_like_torch():
    norm, theirs = ElasticBatchNorm(4), torch.nn.BatchNorm2d(4, momentum=None)
    norm.name = "here"
    recorder = Recorder()
    for _ in range(3):
        x = 3 * torch.randn(8, 4, 5, 5) + 1
        recorder.next_batch()
        torch.testing.assert_close(norm(x, recorder), theirs(x))
    mean, variance = recorder.stats["here"]
    torch.testing.assert_close(mean, theirs.running_mean)
    torch.testing.assert_close(variance, theirs.running_var)


def test_statistics_of_another_arch_are_refused():
    norm = ElasticBatchNorm(8)
    norm.name = "stage0"
    with pytest.raises(KeyError, match="stage0.*recalibrate"):
        norm(torch.randn(1, 4, 2, 2), BatchNormStats())
    with pytest.raises(ValueError, match="6 channels, the arch needs 4"):
        norm(torch.randn(1, 4, 2, 2), BatchNormStats(stage0=(torch.zeros(6), torch.ones(6))))
