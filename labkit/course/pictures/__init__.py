"""Pictures for notebooks and documents. Each function returns a matplotlib figure.

What the notebooks show is here under one name, and imported when it is first used:

>>> from labkit.course import pictures, show
>>> show(pictures.bars({"half": 50.0, "all": 100.0}, y_label="accuracy, %"))  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module

# Module -> the names that it offers here.
_NAMES = {
    "charts": "bars lines predicted_against_measured spreads sample_images training_curve",
    "supernet": (
        "lit_supernet subnets_of_devices shrinking_kernels channel_importance shrinking_schedule"
    ),
    "fronts": ("device_fronts fronts_of_matrix front_and_cloud searches_on_front search_histories"),
    "deployment": "deployment_matrix levels_of_channels",
    "memory_schedule": "memory_steps operators_and_sizes memory_over_schedule",
    "latency": "call_times predicted_and_measured roofline",
    "darts": "bilevel_paths moving_weights cells",
    "search_cost": "total_costs",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"labkit.course.pictures has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
