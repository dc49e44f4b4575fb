"""Training supernets: recipes (which archs, which loss), one loop, resumable checkpoints."""

from labkit.train.config import TrainConfig
from labkit.train.loop import train
from labkit.train.recipes import RECIPES, Recipe

__all__ = ["RECIPES", "Recipe", "TrainConfig", "train"]
