"""From somebody's images and devices to networks: a space for the images, and the whole line."""
