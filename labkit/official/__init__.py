"""The official Once-for-All package: its weights, archs, predictor and tables; ImageNet."""
