import shutil
import subprocess

import pytest

from labkit.storage import provenance


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_revision_is_of_labkits_own_checkout(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    package = tmp_path / "labkit"
    package.mkdir()
    (package / "artifacts.py").write_text("x = 1")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    clean = provenance.code_revision()
    assert len(clean) == 12
    (package / "artifacts.py").write_text("x = 2")
    assert provenance.code_revision() == f"{clean}-changed"
    installed = tmp_path / ".venv" / "site-packages" / "labkit"
    installed.mkdir(parents=True)
    monkeypatch.setattr(provenance, "PACKAGE", installed)
    assert provenance.code_revision() == "unknown"  # that repository is somebody else's
