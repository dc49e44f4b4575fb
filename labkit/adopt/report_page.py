"""One HTML file that needs no other: it holds tables, pictures and what somebody wrote."""

from __future__ import annotations

import base64
import html
import io
import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from labkit.storage.atomic_write import write_atomic
from labkit.storage.errors import MissingPackage

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;border-bottom:1px solid #ccc;"
    "text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
    "figure{margin:1.5em 0}figcaption{color:#555;font-size:90%}code{white-space:nowrap}"
    "pre{overflow:auto}.missing{border-left:4px solid #D55E00;padding:.1em 1em;background:#fdf3ec}"
)
REMOTE = re.compile(r"(?i)[a-z][a-z0-9+.-]*:|//")


class Section(NamedTuple):
    """A heading and the HTML under it."""

    title: str
    body: str


def write_page(path: Path, title: str, lacks: Sequence[str], sections: Sequence[Section]) -> None:
    """Write a page to `path`; `lacks` are sentences on what is not in it, which it begins with."""
    items = "".join(f"<li>{escaped(line)}</li>" for line in lacks)
    box = f'<div class="missing"><p>Not in this report:</p><ul>{items}</ul></div>' if lacks else ""
    parts = "".join(f"<h2>{escaped(section.title)}</h2>{section.body}" for section in sections)
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title>"
        f"<style>{STYLE}</style><h1>{escaped(title)}</h1>{box}{parts}</html>\n"
    )
    write_atomic(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table of texts."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escaped(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{row(head, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>"


def picture(path: Path, caption: str) -> str:
    """The picture in a file, with its caption, which is read out where it cannot be seen."""
    image = f'<img alt="{escaped(caption)}" src="{data_uri(path)}">'
    return f"<figure>{image}<figcaption>{escaped(caption)}</figcaption></figure>"


def data_uri(path: Path) -> str:
    """The content of a picture's file as an address."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _address(kind, path.read_bytes())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def prose(markdown: str, folders: Sequence[Path]) -> tuple[str, list[str]]:
    """HTML of what somebody wrote in Markdown, and the pictures in it that could not be put in.

    Pictures are files in one of the `folders`, or inside the text. Formulas become pictures, too,
    as far as matplotlib knows their TeX; others, and HTML in the text, are shown as text. Raises
    MissingPackage without mistune.
    """
    try:
        import mistune
    except ImportError:
        raise MissingPackage("a report with texts needs mistune: pip install mistune") from None
    absent: list[str] = []

    class Renderer(mistune.HTMLRenderer):
        def image(self, text: str, url: str, title: str | None = None) -> str:
            if not REMOTE.match(url):
                name = unquote(url)
                files = [folder / name for folder in folders if (folder / name).is_file()]
                url = data_uri(files[0]) if files else url
            if url.startswith("data:image/"):
                return super().image(text, url, title)
            absent.append(url)
            return f"[{text}: {escaped(url)}]"

        def inline_math(self, text: str) -> str:
            return formula(text)

        def block_math(self, text: str) -> str:
            return f"<p>{formula(text)}</p>"

    plugins = ["table", "strikethrough", "math"]
    convert = mistune.create_markdown(renderer=Renderer(), plugins=plugins)
    return str(convert(markdown)), absent


def formula(tex: str) -> str:
    """A formula as a picture that stands on the line; its TeX where that cannot be set."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    source, image = f"${' '.join(tex.split())}$", io.BytesIO()
    try:
        depth_pt = math_to_image(source, image, FontProperties(size=12), format="svg")
    except ValueError:  # matplotlib's parser knows a part of TeX
        return f"<code>{escaped(source)}</code>"
    uri = _address("image/svg+xml", image.getvalue())
    return f'<img alt="{escaped(source)}" src="{uri}" style="vertical-align:-{depth_pt:.1f}pt">'


def escaped(text: str) -> str:
    """Text as HTML that shows it."""
    return html.escape(str(text))
