"""The report on a project's folder (`labkit.adopt.project_folder`), with what was written about it.

Nothing is measured again. What is not there, or cannot be read, is named at the report's beginning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.adopt.project_folder import FIGURES, NETWORKS, SPACE, SUPERNET
from labkit.adopt.report_page import Section, escaped, picture, prose, table, write_page
from labkit.course.exercises.exercise import notebook_number
from labkit.course.handout.free_text import FreeText, written_tasks
from labkit.space import Arch, get_space
from labkit.specialize.targets import latency_text, milliseconds
from labkit.storage.errors import UNREADABLE, LabError
from labkit.storage.json_fields import Fields, read_json
from labkit.supernet.folder import TrainedSupernet
from labkit.tables.costs import macs_table

TASK = re.compile(r"(\d+\.\d+)[ _-]+")  # that a picture's name begins with


class ReportError(LabError):
    """A part of a project's folder cannot be read."""


def write_report(
    folder: Path, path: Path, texts: Sequence[FreeText] = (), more: Sequence[Section] = ()
) -> list[str]:
    """Write the report on `folder` to `path`: the texts with their pictures, what was made, in
    figures, all other pictures, and `more` at the end. Returns sentences on what it lacks.

    Raises ReportError for a folder that holds nothing of a project, MissingPackage where texts
    cannot be shown.
    """
    report = ProjectReport(folder)
    written = [*report.tasks(texts), *report.other_texts(texts)]
    sections = [*written, *report.figures(), *report.other_pictures(), *more]
    write_page(path, report.title, report.lacks, sections)
    return report.lacks


class ProjectReport:
    """Sections on a project's folder, and what they lack."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lacks = Path(folder), []
        parts = (SPACE, SUPERNET, NETWORKS, FIGURES)
        if not any((self.folder / part).exists() for part in parts):
            raise ReportError(
                f"{self.folder} is no project: it holds none of {', '.join(parts)}; give the folder"
                " that `labkit adopt --out` or the project's notebook writes"
            )
        self.title = self.folder.resolve().name
        self.pictures = sorted((self.folder / FIGURES).glob("*.png"))
        if not self.pictures:
            self.lacks.append(f"pictures: there is no PNG file in {self.folder / FIGURES}")

    # ---- what was written, and pictures ----------------------------------------------------------

    def tasks(self, texts: Sequence[FreeText]) -> list[Section]:
        """A section for each written task of a notebook: its texts, then its pictures."""
        if not texts:
            return []
        numbers = {notebook_number(text.task) for text in texts if text.task}
        sections = []
        for task in written_tasks().values():
            if notebook_number(task.id) in numbers:
                answers = [text.text for text in texts if text.task == task.id and text.text]
                if not answers:
                    self.lacks.append(f"{task.id} {task.title}: nothing is written there yet")
                body = "".join(map(self._prose, answers)) + self._pictures_of(task.id)
                sections.append(Section(f"{task.id} {task.title}", body))
        return sections

    def other_texts(self, texts: Sequence[FreeText]) -> list[Section]:
        """What was written outside of all tasks."""
        others = "".join(self._prose(text.text) for text in texts if not text.task)
        return [Section("Notes", others)] if others else []

    def other_pictures(self) -> list[Section]:
        """The pictures of no task."""
        others = self._pictures_of(None)
        return [Section("Pictures", others)] if others else []

    def _prose(self, markdown: str) -> str:
        page, absent = prose(markdown, [self.folder, self.folder / FIGURES, Path()])
        self.lacks += [f"a picture in the text: {url[:200]} is no file here" for url in absent]
        return page

    def _pictures_of(self, task: str | None) -> str:
        """The pictures whose names begin with a task's id; all that are left for None."""
        shown = [path for path in self.pictures if task is None or _task_of(path) == task]
        self.pictures = [path for path in self.pictures if path not in shown]
        return "".join(picture(path, TASK.sub("", path.stem, count=1)) for path in shown)

    # ---- what was made ---------------------------------------------------------------------------

    def figures(self) -> list[Section]:
        """The networks of the devices, then space and supernet in figures."""
        rows = [*self._part(self._space_rows), *self._part(self._supernet_rows)]
        networks = "".join(self._part(self._networks))
        parts = {
            "A network for each device": networks,
            "Space and supernet": table(["what", "how much"], rows) if rows else "",
        }
        return [Section(title, body) for title, body in parts.items() if body]

    def _part(self, read: Callable[[], list]) -> list:
        """What `read` gives; nothing, and a sentence in `lacks`, where files are not sound."""
        try:
            return read()
        except LabError as error:
            self.lacks.append(str(error))
        except (IndexError, *UNREADABLE) as error:
            self.lacks.append(f"a file of {self.folder} is not sound: {error!r}")
        return []

    def _space_rows(self) -> list[list[str]]:
        space = get_space(str(self.folder / SPACE))
        least, most = macs_table(space)(space.encode([space.smallest(), space.largest()]))
        return [
            ["search space", space.name],
            ["resolutions", ", ".join(f"{side} px" for side in space.resolutions)],
            ["subnets", f"{space.size():,}"],
            ["multiply-adds of a subnet", f"{least / 1e6:.3g} to {most / 1e6:.3g} million"],
        ]

    def _supernet_rows(self) -> list[list[str]]:
        trained = TrainedSupernet(get_space(str(self.folder / SPACE)), self.folder / SUPERNET)
        self.lacks += [f"{file}: {advice}" for file, advice in trained.missing().items()]
        if not trained.is_trained:
            return []
        images, record = trained.dataset_record, trained.record
        splits = ", ".join(f"{count} {name}" for name, count in images.splits.items())
        last = record["curve"][-1]
        accuracies = {name: last[name] for name in ("smallest", "largest") if name in last}
        rows = [
            ["images", f"{sum(images.splits.values())} in {len(images.classes)} classes"],
            ["of them", splits],
            [
                "training",
                f"{record['config']['epochs']} epochs, {record['wall_hours'] * 60:.1f} min",
            ],
            *(
                [f"{name} subnet, measured on val-search", f"{value} %"]
                for name, value in accuracies.items()
            ),
        ]
        if not trained.missing():
            held_out = trained.predictor.header["held_out_pairs"]
            rows += [
                ["accuracy predictor", trained.predictor.label],
                [f"its error on {held_out} others", f"{trained.predictor.rmse:.2f} points"],
            ]
        return rows

    def _networks(self) -> list[str]:
        path = self.folder / NETWORKS / "specialize.json"
        supernet = self.folder / SUPERNET
        advice = f"make it with `labkit specialize --supernet {supernet} --out {path.parent}`"
        fields = Fields(read_json(path, ReportError, advice), path, ReportError, advice=advice)
        devices, subnets = list(fields.objects("devices")), list(fields.objects("subnets"))
        names, rows = [device.text("name") for device in devices], []
        for s, subnet in enumerate(subnets):
            if (owner := subnet.text("for")) not in names:
                continue
            d = names.index(owner)
            label = devices[d].text("latency_is")
            latency, accuracy = (
                fields.get(name, list)[s][d] for name in ("latency_ms", "accuracy")
            )
            error = fields.get("accuracy_error", list)[s][d] if "accuracy_error" in fields else None
            rows.append(
                [
                    devices[d].text("title"),
                    subnet.value.get("model") or "",
                    f"{accuracy:.2f} %" if error is None else f"{accuracy:.2f} ± {error:.2f} %",
                    latency_text(latency, label),
                    f"{milliseconds(devices[d].positive('budget_ms'), label)} ms",
                    str(Arch.from_json(subnet.get("arch", dict))),
                ]
            )
        head = ["device", "its file", "accuracy", "latency", "at most", "subnet"]
        note = (
            f"The files are in {NETWORKS}/. Accuracies are {fields.text('accuracy_is')}, with one"
            " standard error. A subnet is its resolution and, stage by stage, the kernel size and"
            " the expand ratio of each block: k5e3 has kernels of 5x5 in three times its channels."
        )
        return [table(head, rows), f"<p>{escaped(note)}</p>"]


def _task_of(path: Path) -> str:
    match = TASK.match(path.stem)
    return match[1] if match else ""
