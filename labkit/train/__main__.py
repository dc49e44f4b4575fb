"""`python -m labkit.train` is `labkit train`."""

from labkit.cli import train

if __name__ == "__main__":
    train()
