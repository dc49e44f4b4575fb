"""Deployment as an ExecuTorch program (.pte), whose operators run in XNNPACK on a phone's CPU."""
