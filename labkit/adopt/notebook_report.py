"""The report of the project's notebook: what was written there, with what lies in its folder."""

from __future__ import annotations

from pathlib import Path

from labkit.adopt.project_folder import REPORT
from labkit.adopt.report import ReportError, write_report
from labkit.course.checking.session import saved_cells
from labkit.course.checking.submitted_file import parse, read_notebook
from labkit.course.handout.free_text import FreeText, free_texts, written_tasks
from labkit.course.handout.notebook_file import cell_source, read


def report(folder: str | Path, notebook: str | Path | None = None) -> None:
    """Write FOLDER/report.html with the texts of `notebook`, the saved one of this session if it is
    left out, and say what it lacks.

    Raises ReportError for a folder that holds nothing of a project, or a notebook without tasks.
    """
    folder, texts = Path(folder), []
    path, cells = (str(notebook), []) if notebook else saved_cells() or ("", [])
    if Path(path).is_file():
        texts = texts_of(Path(path))
    elif cells:  # on Colab the notebook is no file
        texts = free_texts(cells)
    else:
        print(f'The notebook was not found. Name it: report("{folder}", "08_project.ipynb")')
    print(lines_on(folder / REPORT, write_report(folder, folder / REPORT, texts)))


def texts_of(notebook: Path) -> list[FreeText]:
    """What was written into a notebook, pasted pictures inside the texts.

    Raises NotANotebook, and ReportError for a notebook that asks for no texts.
    """
    parse(read_notebook(notebook))  # which says what is wrong with a file
    texts = free_texts([_with_pictures(cell) for cell in read(notebook)["cells"]])
    if not any(text.task for text in texts):
        tasks = ", ".join(written_tasks())
        raise ReportError(f"{notebook} has none of the headings of the written tasks {tasks}")
    return texts


def lines_on(path: Path, lacks: list[str]) -> str:
    """What a report lacks and where it is, for a terminal or a notebook."""
    return "\n".join([*(f"not in it: {line}" for line in lacks), f"report written to {path}"])


def _with_pictures(cell: dict) -> tuple[str, str]:
    """A cell's type and source, with addresses of pasted pictures replaced by the pictures."""
    source = cell_source(cell)
    for name, contents in cell.get("attachments", {}).items():
        for kind, data in contents.items():
            source = source.replace(f"(attachment:{name})", f"(data:{kind};base64,{data})")
    return cell["cell_type"], source
