"""One HTML file: what is in it, and that nothing in it is fetched or run."""

import base64
import re

import pytest
from html_for_tests import PNG, Outline

from labkit.adopt.report_page import Section, prose, table, write_page


def test_a_page_has_its_sections_and_begins_with_what_it_lacks(tmp_path):
    sections = [Section("A & B", "<p>text</p>"), Section("C", table(["<x>"], [["1 < 2"]]))]
    write_page(tmp_path / "page.html", 'My "project"', ["no <b>networks</b>"], sections)
    page = (tmp_path / "page.html").read_text("utf-8")
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags if re.fullmatch("h[12]|li", tag)] == [
        "h1",
        "li",
        "h2",
        "h2",
    ]
    for text in ('My "project"', "no <b>networks</b>", "A & B", "<x>", "1 < 2"):
        assert text in outline.words
    write_page(tmp_path / "page.html", "whole", [], [])
    assert "Not in this report" not in (tmp_path / "page.html").read_text("utf-8")


def test_markdown_becomes_html_with_its_pictures_inside(tmp_path):
    (tmp_path / "front.png").write_bytes(PNG)
    inside = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    text = f"# Title\n\n**bold**\n\n![A](front.png) ![B]({inside})\n\n| a |\n|---|\n| 1 |\n"
    page, absent = prose(text, [tmp_path / "elsewhere", tmp_path])
    outline = Outline(page)
    assert outline.sources() == [inside, inside] and absent == []
    assert {"h1", "strong", "table"} <= {tag for tag, _ in outline.tags}


def test_formulas_are_set_and_those_that_cannot_be_are_shown_as_they_were_written():
    text = "It takes $t < \\frac{1}{2}$ ms.\n\n$$\nL = \\sum_i\n  p_i\n$$\n\n"
    text += "$\\nothing{x}$, $5 or $6, `$a$`"
    outline = Outline(prose(text, [])[0])
    assert len(outline.sources()) == 2
    for source, tex in zip(outline.sources(), ("t < \\frac{1}{2}", "L = \\sum_i p_i")):
        kind, _, content = source.partition(",")
        assert kind == "data:image/svg+xml;base64" and b"<svg" in base64.b64decode(content)
        assert any(attributes.get("alt") == f"${tex}$" for _, attributes in outline.tags)
    shown = "".join(outline.words)
    assert "$\\nothing{x}$" in shown and "$5 or $6" in shown and "$a$" in shown


@pytest.mark.parametrize("url", ["https://example.org/a.png", "//example.org/a.png", "missing.png"])
def test_a_picture_that_is_not_here_is_named_and_not_fetched(url, tmp_path):
    page, absent = prose(f"before ![A]({url}) after", [tmp_path])
    assert absent == [url] and url in page and Outline(page).sources() == []


def test_html_and_scripts_in_a_text_are_shown_as_text():
    text = 'a <img src=x onerror="f()"> b\n\n<script>f()</script>\n\n[c](javascript:f()) ![d](file:///x)'
    page, absent = prose(text, [])
    outline = Outline(page)
    assert {tag for tag, _ in outline.tags} <= {"p", "a"}
    links = [attributes["href"] for tag, attributes in outline.tags if tag == "a"]
    assert not any("javascript" in link for link in links) and absent == ["file:///x"]
    assert "f()" in "".join(outline.words)
