"""What students wrote into text cells."""

import pytest
from grading_for_tests import instructor

from labkit.course.handout import free_text
from labkit.course.handout.free_text import FreeText, WrittenTask, bounded, free_texts
from labkit.course.handout.notebook_file import cell_source


def cells():
    return [(cell["cell_type"], cell_source(cell)) for cell in instructor(1)["cells"]]


def test_the_courses_own_texts_are_nobodys_answers():
    handed_out = cells()
    badge = "[![Open in Colab](https://x)](https://y)\n\n" + handed_out[0][1]
    assert free_texts([("markdown", badge), *handed_out[1:]]) == []


def test_new_and_changed_texts_are_collected_with_what_they_answer():
    handed_out = cells()
    place = next(i for i, (_, text) in enumerate(handed_out) if "Commit to a prediction" in text)
    handed_out.insert(place + 1, ("markdown", "I think *two* points, because …"))
    handed_out[0] = ("markdown", handed_out[0][1] + "\n\nMy name is Anna.")
    texts = free_texts(handed_out)
    assert [text.text for text in texts][1] == "I think *two* points, because …"
    assert "Commit to a prediction" in texts[1].question and texts[0].text.endswith("Anna.")
    assert {text.task for text in texts} == {""}


def test_texts_without_end_are_cut_and_say_so():
    many = [("markdown", f"{i} " + "x" * 10_000) for i in range(300)]
    texts = bounded(free_texts(many))
    assert len(texts) == 100 and {text.text[5000:] for text in texts} == {
        " … (5002 more characters)",
        " … (5003 more characters)",
    }
    picture = "before ![front](data:image/png;base64,iVBORw0KGgo=) after"
    (short,) = bounded([FreeText("", picture)])
    assert short.text == "before ![front](a picture, see the notebook) after"


# ---- tasks that are answered in writing ----------------------------------------------------------

HEADINGS = ("## 9.1 A question (4 points)\n\nWhy?", "## 9.2 An answer (1 point)")
HERE = "*Write here.*"


@pytest.fixture(name="tasks")
def a_course_with_written_tasks(monkeypatch):
    monkeypatch.setattr(free_text, "course_texts", lambda: ("# Title", *HEADINGS, HERE))
    cached = free_text.written_tasks, free_text._headings, free_text._course_essences
    for function in cached:
        function.cache_clear()
    yield free_text.written_tasks()
    for function in cached:
        function.cache_clear()


def written(*texts):
    return free_texts([("markdown", text) for text in texts])


def test_headings_say_the_tasks_and_their_points(tasks):
    assert list(tasks.values()) == [
        WrittenTask("9.1", "A question", 4),
        WrittenTask("9.2", "An answer", 1),
    ]


def test_a_text_answers_the_task_above_it(tasks):
    texts = written("# Title", HEADINGS[0], "Because.", "And also.", HEADINGS[1], HERE)
    assert texts == [
        FreeText("9.1 A question", "Because.", "9.1"),
        FreeText("9.1 A question", "And also.", "9.1"),
        FreeText("9.2 An answer", "", "9.2"),
    ]


def test_an_answer_inside_the_tasks_text_or_its_placeholder_is_one(tasks):
    inside, instead = f"{HEADINGS[0]}\n\nBecause.", f"{HERE} Yes."
    assert written(inside, HEADINGS[1], instead) == [
        FreeText("", inside, "9.1"),
        FreeText("9.2 An answer", instead, "9.2"),
    ]


def test_headings_of_ones_own_are_no_tasks(tasks):
    own = "## 9.3 Mine (100 points)"
    assert written(own) == [FreeText("", own, "")]
