"""The capstone's last step: firmware where the tools are, one sentence where they are not."""

from types import SimpleNamespace

import pytest

from labkit.course.exercises.message_lines import WIDTH
from labkit.course.experiments import emulated_firmware
from labkit.course.experiments.emulated_firmware import run_firmware
from labkit.deploy.litert import packages
from labkit.storage.errors import ExportError


def test_what_is_missing_is_said_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(emulated_firmware, "require_packages", lambda: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    assert run_firmware(None, None, None) is None

    def said():
        lines = capsys.readouterr().out.splitlines()
        assert all(len(line) <= WIDTH for line in lines)
        return " ".join(lines)

    text = said()
    assert text.startswith("The firmware was not built here: ") and "needs a C compiler" in text
    monkeypatch.setattr(emulated_firmware, "compiler", lambda: "cc")
    assert run_firmware(None, None, None) is None
    text = said()
    assert "arm-none-eabi-gcc" in text and "apt install" in text
    monkeypatch.setattr(emulated_firmware, "require_packages", packages.require_packages)
    monkeypatch.setattr(packages, "PACKAGES", ("no_such_package",))
    assert run_firmware(None, None, None) is None
    assert "pip install" in said()


def test_what_was_measured_is_shown_and_a_fault_is_not_hidden(monkeypatch, capsys):
    board = SimpleNamespace(
        images=20, sram_bytes=20480, flash_bytes=102400, code_bytes=10240, total_instructions=6e6
    )
    firmware = SimpleNamespace(
        board=board, interpreter_arena_bytes=51200, int8_accuracy=91.5, accuracy=92.0, macs=3e6
    )
    for name in ("require_packages", "compiler"):
        monkeypatch.setattr(emulated_firmware, name, lambda: None)
    monkeypatch.setattr(emulated_firmware, "find_board", lambda core: None)
    monkeypatch.setattr(emulated_firmware, "deploy", lambda *_, **options: firmware)
    assert run_firmware(None, None, None) is firmware
    text = capsys.readouterr().out
    for part in ("20 images", "91.5 % right of 200", "20.0 KiB", "50.0", "100.0 KiB", "10.0 of"):
        assert part in text
    assert "6.00 million instructions a picture, 2.00 for" in text

    def differing(*arguments, **options):
        raise ExportError("the library and TensorFlow Lite Micro differ")

    monkeypatch.setattr(emulated_firmware, "deploy", differing)
    with pytest.raises(ExportError, match="differ"):
        run_firmware(None, None, None)
