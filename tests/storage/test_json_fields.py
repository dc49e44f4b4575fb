import pytest

from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields, parse_json, read_json


class BoardError(LabError):
    """The error of some kind of file."""


def fields(value):
    return Fields(value, "board.json", BoardError, advice="measure again")


def test_fields_are_read_by_kind():
    value = {"name": "pi", "share": 0.5, "parts": [{"ms": 0}, {"ms": 2}], "sram": {"kind": "b"}}
    reader = fields(value)
    assert (reader.text("name"), reader.positive("share"), "flash" in reader) == ("pi", 0.5, False)
    assert [part.amount("ms") for part in reader.objects("parts")] == [0, 2]
    assert reader.object("sram").choice("kind", ("a", "b")) == "b"


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda r: r.text("share"), "field share: want str, got True"),
        (lambda r: r.get("share", int), "field share: want int, got True"),
        (lambda r: r.get("name", (int, float)), "field name: want int or float, got 'pi'"),
        (lambda r: r.positive("zero"), "field zero: want a positive number, got 0"),
        (lambda r: r.amount("huge"), "field huge: want a number of at least 0, got 1000"),
        (lambda r: r.amount("lost"), "field lost: want a number of at least 0, got None"),
        (lambda r: r.object("name"), "field name: want an object, got 'pi'"),
        (lambda r: r.object("sram").object("bank").text("x"), "field sram.bank.x: want str"),
        (lambda r: list(r.objects("parts")), r"field parts\[1\]: want an object, got 3"),
        (lambda r: r.choice("name", ("a", "b")), "field name: want one of a, b, got 'pi'"),
        (lambda r: r.require_schema(2), "field schema: want 2, which this version reads, got None"),
    ],
)
def test_a_wrong_field_is_named_with_its_file_what_it_should_be_and_what_it_is(read, message):
    value = {"name": "pi", "share": True, "zero": 0, "huge": 10**400, "parts": [{}, 3]}
    with pytest.raises(BoardError, match=f"^board.json: {message}.*; measure again$"):
        read(fields({**value, "sram": {"bank": {}}}))


def test_another_value_than_an_object_is_refused():
    with pytest.raises(BoardError, match="board.json: the file: want an object, got \\[\\]"):
        fields([])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "x is not valid JSON .*; again"),
        ('{"a": 1, "a": 2}', "x: key 'a' occurs twice"),
        ("[NaN]", "x: NaN is not a finite number"),
        ("[1e999]", "x: 1e999 is not a finite number"),
        (b"\xff", "x is not valid JSON .*; again"),
        ("[" * 100_000, "x is not valid JSON .*; again"),
    ],
)
def test_json_is_read_strictly(text, message):
    with pytest.raises(BoardError, match=message):
        parse_json(text, "x", BoardError, "again")


def test_a_file_is_read_with_its_byte_order_mark_and_a_lost_one_is_named(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(BoardError, match="a.json is missing; restore it from the repository"):
        read_json(path, BoardError)
    path.write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_json(path, BoardError) == {"a": 1}
    with pytest.raises(BoardError, match="cannot be read"):
        read_json(tmp_path, BoardError)
