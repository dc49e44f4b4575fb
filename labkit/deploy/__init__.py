"""Deployment: a subnet as files that a target runs, one folder for each target.

Nothing is imported here: building a graph needs onnx, not torch.
"""
