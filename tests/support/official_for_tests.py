"""The official package's networks, and archs to try on them."""

import numpy as np
import pytest
import torch
from torch import nn

from labkit.official import layer_names
from labkit.official.arch_dicts import arch_to_official
from labkit.space import Arch

NAMES = list(layer_names.OFFICIAL_CLASSES)


def official_net(name: str) -> nn.Module:
    networks = pytest.importorskip(
        "ofa.imagenet_classification.elastic_nn.networks",
        reason="needs the extra `peers`: pip install -e .[peers]",
    )
    build, width = {
        "ofa-mbv3": (networks.OFAMobileNetV3, 1.0),
        "ofa-mbv3-w1.2": (networks.OFAMobileNetV3, 1.2),
        "ofa-proxyless-w1.3": (networks.OFAProxylessNASNets, 1.3),
    }[name]
    return build(
        dropout_rate=0,
        width_mult=width,
        ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )


def archs_of(space, n: int) -> list[Arch]:
    return space.decode(space.sample(np.random.default_rng(7), n)) + [
        space.smallest(),
        space.largest(),
    ]


@torch.no_grad()
def activate(theirs: nn.Module, space, arch: Arch) -> nn.Module:
    config = arch_to_official(space, arch)
    theirs.set_active_subnet(**{key: config[key] for key in ("ks", "e", "d")})
    return theirs
