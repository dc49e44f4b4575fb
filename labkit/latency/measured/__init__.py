"""Measured devices: what was timed, the files it is kept in, and the tables made of it."""
