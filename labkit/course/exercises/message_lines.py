"""Messages as lines of text that a front end need not break, which it would do within words."""

from __future__ import annotations

from textwrap import wrap

WIDTH = 80  # of a line, in characters; a word that is longer stays whole


def message_lines(message: str) -> list[str]:
    """The lines of `message`, long ones broken between words and indented as they began."""
    lines = []
    for line in message.split("\n"):
        margin = line[: len(line) - len(line.lstrip())]
        keep = {"break_long_words": False, "break_on_hyphens": False}
        lines += wrap(line, WIDTH, subsequent_indent=margin, **keep) or [""]
    return lines


def print_lines(message: str) -> None:
    """Print the lines of `message`."""
    print("\n".join(message_lines(message)))
