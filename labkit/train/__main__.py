"""`python -m labkit.train`, and `torchrun ... -m labkit.train`, are `labkit train`."""

import sys

from labkit.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["train"]
    main()
