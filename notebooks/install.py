"""Install the course for a notebook's Python; packages that are there stay as they are.

The first cell of every notebook runs this where labkit is missing, as on Colab, Kaggle or in a bare
Jupyter. It needs nothing but Python and pip, and prints a sentence only where something is missing.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

COURSE = Path(__file__).resolve().parents[1]
WITHOUT = (
    "the command labkit, nbval, onnx and onnxruntime may be missing; answers are then checked as"
    " they run here, not as they are graded"
)


def pip(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def install() -> str | None:
    """Install labkit, what checks notebooks and what deploys; returns why that is impossible."""
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "constraints.txt"
        pins.write_text(pip("list", "--format=freeze").stdout)
        options = ["--quiet", "--retries", "1", "--constraint", str(pins)]
        outcome = pip("install", *options, "--editable", f"{COURSE}[deploy,grading]")
    if outcome.returncode == 0:
        return None
    if "onnection" in outcome.stderr or "Could not fetch" in outcome.stderr:
        return "there is no network"
    return (outcome.stderr.strip().splitlines() or ["pip failed"])[-1]


if __name__ == "__main__":
    reason = install()
    if reason:
        print(f"Nothing was installed ({reason}): {WITHOUT}. To install later: !python {__file__}")
