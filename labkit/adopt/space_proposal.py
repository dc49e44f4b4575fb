"""A search space for images of a given size: where to begin with images of one's own."""

from __future__ import annotations

import math

from labkit.space import SearchSpace, Stage, make_divisible

SMALL_IMAGES = 40  # pixels; up to here a stem that halves the map loses too much
LAST_MAP = 4  # pixels that the last stage should about leave
MOST_STAGES = 5


def propose(name: str, *, classes: int, channels: int, side: int, width: int = 16) -> SearchSpace:
    """A space for `classes` of images with `channels`, at most `side` pixels large.

    Halvings of the map, in the stem and once a stage, end at some 4 pixels; channels double about
    as often. `width` is that of the first stage; MACs grow with its square. Small images keep their
    resolution in the stem, as in the space `fmnist`; the others are like MobileNetV3 (arXiv
    1905.02244): ReLU first, h-swish and squeeze-excite later.

    >>> space = propose("photos", classes=7, channels=3, side=64)
    >>> space.resolutions, [stage.width for stage in space.stages]
    ((48, 56, 64), [16, 32, 64])
    """
    halvings = max(2, min(MOST_STAGES + 1, round(math.log2(side / LAST_MAP))))
    small = side <= SMALL_IMAGES
    stages = halvings if small else halvings - 1
    step = 4 if side < 96 else 16
    resolutions = sorted({max(step, step * round(side * share / step)) for share in (0.75, 0.875)})
    growth = 2 if stages <= 3 else 1.75
    return SearchSpace(
        name=name,
        resolutions=(*(r for r in resolutions if r < side), side),
        in_channels=channels,
        num_classes=classes,
        stem_width=make_divisible(width / 2) if small else width,
        stem_stride=1 if small else 2,
        final_width=make_divisible(12 * width),
        stages=tuple(
            Stage(
                width=make_divisible(width * growth**s),
                stride=2,
                depths=(1, 2, 3) if s == 0 else (2, 3, 4),
                expands=(2, 3, 4),
                act="relu" if s == 0 else "h_swish",
                se=s > 0,
            )
            for s in range(stages)
        ),
    )
