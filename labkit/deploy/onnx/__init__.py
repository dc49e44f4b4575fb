"""Deployment as an ONNX model: exported, verified against torch, quantized to int8."""
