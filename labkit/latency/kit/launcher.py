"""Starts a kit: `__main__.py` in its zip.

Every Python reads this file, so that one that is too old to read the rest is told so. Hence its old
syntax.
"""

import sys

if sys.version_info < (3, 8):  # noqa: UP036
    version = ".".join(map(str, sys.version_info[:3]))
    sys.stderr.write(
        "this is Python " + version + ", the kit needs Python 3.8 or newer; run it with that, such"
        " as python3.9 kit.zip\n"
    )
    sys.exit(2)

from labkit.latency.kit.board_script import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
