"""What pyproject.toml cannot say: a wheel takes data/ along, as the folder `shipped` of labkit.

A checkout, also one that is installed with `pip install -e`, uses data/ where it lies.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithData(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            packed = Path(self.build_lib) / "labkit" / "shipped"
            shutil.copytree(ROOT / "data", packed, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithData})
