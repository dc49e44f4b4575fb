"""The texts of the exercises, and the sentences in them that say what an answer has to do."""

import re

from labkit.course.handout.notebook_file import cell_source, read
from labkit.course.handout.student_copy import EXERCISE, INSTRUCTOR

DEMANDS, HINT = "**Write**", "<details>"
ROW = re.compile(r"^\| (?!argument|name)(.*) \|$", re.MULTILINE)
TABLE = re.compile(r"^\|.*\|$", re.MULTILINE)
END = re.compile(r"(?<=[.:)]) +(?=[A-Z(])")


def texts_of_exercises():
    """Exercise id -> its text, as far as the hint."""
    texts = {}
    for path in sorted(INSTRUCTOR.glob("*.ipynb")):
        text = ""
        for cell in read(path)["cells"]:
            source = cell_source(cell)
            if cell["cell_type"] == "markdown":
                text = source.partition(HINT)[0]
            elif header := EXERCISE.match(source):
                texts[header[1]] = text
    return texts


def demands(text):
    """The sentences of a text from where it says what to write, and the rows of its table."""
    _, mark, specification = text.partition(DEMANDS)
    sentences = END.split(" ".join(TABLE.sub("", specification).split()))
    return [mark + sentences[0], *sentences[1:], *ROW.findall(specification)]
