"""ONNX graphs of networks and their parts, and the harness that times them."""
