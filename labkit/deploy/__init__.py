"""Deployment: a subnet as an ONNX model, verified against torch, and quantised to int8.

Nothing is imported here: building a graph needs onnx, not torch.
"""
