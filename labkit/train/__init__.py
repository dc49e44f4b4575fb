"""Training supernets: recipes (which archs, which loss), one loop, resumable checkpoints."""

from labkit.train.loop import TrainConfig, train
from labkit.train.recipes import RECIPES, Recipe

__all__ = ["RECIPES", "Recipe", "TrainConfig", "train"]
