"""Commands for images, spaces and devices of one's own."""
