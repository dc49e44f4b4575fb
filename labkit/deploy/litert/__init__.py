"""Deployment as a LiteRT (.tflite) model, run by TensorFlow Lite Micro."""
