"""A supernet of several widths as one of full width, for searches that cannot choose a width."""

from __future__ import annotations

from labkit.supernet.folder import TrainedSupernet
from labkit.supernet.supernet import Supernet
from labkit.tables.accuracy_predictor import SeparablePredictor


def full_width(trained: TrainedSupernet) -> tuple[Supernet, SeparablePredictor]:
    """The supernet, with archs of its largest width only, and its accuracy predictor for them.

    Weights and predictions are those of the archs in the supernet of all widths. Raises ValueError
    for a predictor that was not fitted to accuracies measured here.
    """
    space, predictor = trained.space, trained.predictor.predict
    if not isinstance(predictor, SeparablePredictor):
        label = trained.predictor.label
        raise ValueError(f"{trained.name!r} has no measured accuracies; its predictor is {label}")
    widest = space.widths[-1]
    narrowed = space.at(widest)
    supernet = Supernet(narrowed)
    supernet.load_state_dict(trained.supernet.state_dict())
    rows = [r for r, (_, width) in enumerate(space.global_choices) if width == widest]
    terms = [term[rows] for term in predictor.terms]
    return supernet.requires_grad_(False), SeparablePredictor(narrowed, predictor.base[rows], terms)
