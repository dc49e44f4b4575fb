"""Commands about devices and their latency tables."""
