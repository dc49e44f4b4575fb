"""The code on docs/coming-from-ofa.md runs, from top to bottom, and does what the page says."""

import re
from pathlib import Path
from unittest.mock import create_autospec

import torch
from ofa_files_for_tests import random_network, random_times, table_text

from labkit.latency.kit.board_import import import_table
from labkit.official import accuracy_mlp, imagenet, latency_tables, published_files
from labkit.official import conversion as official
from labkit.official import published_weights as weights
from labkit.official.arch_dicts import arch_from_official
from labkit.space.presets import get_space, spaces
from labkit.supernet import weights_file as pretrained
from labkit.supernet.supernet import Supernet

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-ofa.md"


def test_the_code_on_the_page(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    source = Supernet(get_space("ofa-mbv3"))
    pretrained.save(weights.converted_path(weights.find("ofa-mbv3")), source, {"source": None})
    torch.save({"state_dict": official.export(source)}, "model_best.pth.tar")
    monkeypatch.setattr(
        imagenet,
        "evaluate",
        create_autospec(
            imagenet.evaluate,
            return_value=[imagenet.Accuracy(source.space.largest(), 75.0, 92.5, 50000)],
        ),
    )
    space = accuracy_mlp.trained_space()
    predictor = published_files.folder("predictor") / "acc_predictor.pth"
    predictor.parent.mkdir(parents=True)
    torch.save(random_network().state_dict(), predictor)
    Path("table.yaml").write_text(
        table_text(random_times(space, latency_tables.DIALECTS[0], space.resolutions))
    )
    import_table(Path("table.yaml"), "note10", space, read_times=latency_tables.read_ofa)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S):
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["arch"].depths == (2, 3, 4, 2, 3) and names["back"]["ks"][:4] == [3, 5, 0, 0]
    assert arch_from_official(names["space"], names["back"]) == names["arch"]
    printed = capsys.readouterr().out
    assert names["latency"](names["result"].genes[None])[0] <= 30
    assert "192px k3e4 k5e3 | k3e4 k5e3 k7e6 |" in printed and "75.00 % top-1" in printed
    again = torch.load("ours.pth", weights_only=True)["state_dict"]
    assert torch.equal(again["classifier.linear.weight"], source.classifier.weight)
    assert torch.equal(
        names["trained"].stem.get_parameter("0.weight"), source.stem.get_parameter("0.weight")
    )


def test_the_page_knows_every_official_space():
    text = PAGE.read_text(encoding="utf-8")
    for name, published in weights.PUBLISHED.items():
        assert name in spaces and f"`{name}` | `{published.file}`" in text
