"""The table of marks, as a student reads it."""

from types import SimpleNamespace

from labkit.course.checking.check import table
from labkit.course.exercises.message_lines import WIDTH


def mark(id, points, message=None):
    return SimpleNamespace(id=id, points=points, of=3, message=message)


def test_long_messages_are_broken_between_words_and_keep_their_lines():
    message = "an-unbroken-name " * 9 + "x" * (WIDTH + 5) + "\n  second line\n\nlast"
    header, first, *more, passed, total = table([mark("1.1", 1, message), mark("1.2", 3)])
    lines = [first[19:], *(line[19:] for line in more)]
    assert header == "exercise  points   " and first.startswith("1.1       1 of 3   an-unbroken")
    assert " ".join(" ".join(lines).split()) == " ".join(message.split())
    assert all(len(line) <= WIDTH or line == "x" * (WIDTH + 5) for line in lines)
    assert lines[-3:] == ["  second line", "", "last"]
    assert all(line.startswith(" " * 19) or line == " " * 19 for line in more)
    assert passed == "1.2       3 of 3   pass" and total == "all       4 of 6"
