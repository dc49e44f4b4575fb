import pytest
import torch
import torch.nn.functional as F

from labkit.supernet.elastic import ElasticConv, ElasticDepthwise, ElasticSqueezeExcite


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
