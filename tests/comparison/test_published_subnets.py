import json
from collections import Counter

import pytest

from labkit.comparison.published_subnets import published_subnets
from labkit.space import network
from labkit.storage.errors import LabError
from labkit.storage.paths import data_dir

FILE = data_dir() / "published" / "subnets.json"
# Million MACs that OFA's README gives, of subnets by supernet, device and milliseconds.
README_MACS = {
    ("pixel1", 20): 77,
    ("pixel1", 28): 109,
    ("pixel1", 40): 162,
    ("pixel1", 58): 230,
    ("pixel1", 79): 356,
    ("pixel1", 132): 593,
    ("pixel1", 143): 642,
    ("note10", 8): 76,  # the README says 79, for the layers that its authors publish
    ("note10", 11): 110,
    ("note10", 16): 163,
    ("note10", 22): 237,
    ("note10", 30): 339,
    ("note10", 41): 457,
    ("note10", 50): 554,
    ("note10", 64): 743,
    ("tx2", 35): 121,
    ("tx2", 47): 179,
    ("tx2", 80): 313,
    ("tx2", 96): 349,
    ("flops-389M", None): 389,
    ("flops-482M", None): 482,
    ("flops-595M", None): 595,
}


def test_multiply_adds_are_those_that_the_authors_publish():
    """The layers are the right ones: of each subnet whose MACs the README has, to the million."""
    macs = {}
    for subnet in published_subnets():
        device = subnet.name.partition("_")[0] if subnet.device == "flops" else subnet.device
        operators = network.operators(subnet.space, subnet.arch)
        macs[device, subnet.latency_ms] = sum(o.macs for o in operators) / 1e6
    assert {key: round(macs[key]) for key in README_MACS} == pytest.approx(README_MACS, abs=1)


def test_subnets_by_source():
    counts = Counter(subnet.finetuned_epochs for subnet in published_subnets())
    assert counts == {25: 39, 75: 11, 0: 4}
    assert all(60 < subnet.top1 < 81 for subnet in published_subnets())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("arch", "224px k3e5 k3e3 | k3e3", "arch"),
        ("arch", "a net", "arch"),
        ("space", "ofa-mbv4", r"subnets\[3\]\.space: want one of .*got 'ofa-mbv4'"),
        ("latency_ms", "11", "latency_ms"),
        ("source", "hearsay", "hearsay"),
    ],
)
def test_a_damaged_file_is_named_with_its_field(tmp_path, field, value, message):
    content = json.loads(FILE.read_text(encoding="utf-8"))
    content["subnets"][3][field] = value
    path = tmp_path / "subnets.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(LabError, match=message) as raised:
        published_subnets(path)
    assert str(path) in str(raised.value)
