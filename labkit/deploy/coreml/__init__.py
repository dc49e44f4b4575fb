"""Deployment as a Core ML package (.mlpackage), which only macOS and iOS can run."""
