"""The explorer: sliders for a device and its limits, and the subnet that meets them."""
