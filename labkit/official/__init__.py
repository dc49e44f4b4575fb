"""The official Once-for-All package: its weights, its archs, ImageNet."""
