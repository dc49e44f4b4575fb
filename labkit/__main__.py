"""`python -m labkit` is the command `labkit`, where its folder is not on the path."""

from labkit.cli import main

if __name__ == "__main__":
    main()
