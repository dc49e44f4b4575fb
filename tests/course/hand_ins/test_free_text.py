"""What students wrote into text cells."""

from grading_for_tests import instructor

from labkit.course.hand_ins.free_text import free_texts
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


def test_texts_without_end_are_cut():
    many = [("markdown", f"{i} " + "x" * 10_000) for i in range(300)]
    texts = free_texts(many)
    assert len(texts) == 100 and max(len(text.text) for text in texts) == 5000
