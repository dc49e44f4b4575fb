import pytest
import torch

from labkit.supernet.batch_norm import (
    BatchNormStats,
    BatchStatistics,
    ElasticBatchNorm,
    Recorder,
)


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
