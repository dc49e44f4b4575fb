"""Data sets: images, labels and their fixed splits."""
