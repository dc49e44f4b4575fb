"""Commands for your own images, spaces and devices."""
