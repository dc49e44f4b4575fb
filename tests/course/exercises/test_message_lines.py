"""Messages as lines that are short enough for a front end."""

from labkit.course.exercises.message_lines import WIDTH, message_lines


def test_lines_are_broken_between_words_and_keep_their_indentation():
    word = "x" * (WIDTH + 5)
    message = "title\n  an-unbroken-name " + "of many " * 20 + word + "\n\n    last = 1"
    lines = message_lines(message)
    assert " ".join(" ".join(lines).split()) == " ".join(message.split())
    assert all(len(line) <= WIDTH or line == f"  {word}" for line in lines)
    assert lines[0] == "title" and lines[-2:] == ["", "    last = 1"]
    assert all(line.startswith("  ") and line[2] != " " for line in lines[1:-2])
