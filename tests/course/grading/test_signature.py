"""Stored results are believed only if a grading of this user signed them."""

import json
import stat

import pytest

from labkit.course.checking.marking import Mark
from labkit.course.grading import signature
from labkit.course.grading.result_store import ResultStore, entry
from labkit.course.grading.signature import is_signed, key_path, sign


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    signature._key.cache_clear()
    yield
    signature._key.cache_clear()


def test_the_key_is_this_users_alone_and_stays_the_same():
    signed = sign("text")
    assert stat.S_IMODE(key_path().stat().st_mode) == 0o600
    signature._key.cache_clear()
    assert is_signed("text", signed) and not is_signed("texts", signed)
    for other in ("", "é", None, 3, signed[:-1]):
        assert not is_signed("text", other)


def test_a_key_that_others_can_read_or_that_was_cut_is_not_used():
    signed = sign("text")
    key_path().chmod(0o644)
    signature._key.cache_clear()
    assert not is_signed("text", signed)
    key_path().chmod(0o600)
    key_path().write_bytes(b"")
    signature._key.cache_clear()
    assert not is_signed("text", signed)


def test_a_mark_that_somebody_else_wrote_is_not_believed(tmp_path):
    store = ResultStore(tmp_path / "results")
    result = store.load("anna", "digest") | {
        "marks": {"1.3": entry(Mark("1.3", 0, 3, "no"), 4, "g")}
    }
    store.save(result)
    assert store.load("anna", "digest")["marks"]
    path = tmp_path / "results" / "anna.json"
    stored = json.loads(path.read_text())
    stored["result"]["marks"]["1.3"]["mark"]["points"] = 3
    path.write_text(json.dumps(stored))
    assert store.load("anna", "digest")["marks"] == {}
    del stored["signature"]
    for forged in (stored, stored["result"], [], {"result": None, "signature": "x"}):
        path.write_text(json.dumps(forged))
        assert store.load("anna", "digest")["marks"] == {}
