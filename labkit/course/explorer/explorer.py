"""The explorer: choose a device and limits with sliders, see the subnet, its place on the front,
and its gap.

    Explorer(space, accuracy_model(space))      the last line of a cell shows it

Evolution looks for the subnet, exact search says how far that is from the best there is. `answer`
and `figure` need no front end; where there is none, a picture of the first answer stands in for the
panel.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from labkit.course.explorer.answers import Answer, Answers
from labkit.course.explorer.live_picture import frame, marks
from labkit.course.pictures.display import png


class Explorer(Answers):
    """Answers and pictures for every setting, and an ipywidgets panel (7.7 and 8) that shows them."""

    def figure(self, answer: Answer) -> Figure:
        """The subnet as blocks above its place on the front."""
        figure = frame(self, answer.costs.device.name)
        marks(figure, self, answer)
        return figure

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The panel for front ends that know widgets, a picture and a text for the others."""
        from labkit.course.explorer.panel import panel

        answer = self.first_answer()
        bundle = {"text/plain": answer.text(), "image/png": png(self.figure(answer))}
        widget = panel(self, answer)
        bundle["application/vnd.jupyter.widget-view+json"] = {
            "version_major": 2,
            "version_minor": 0,
            "model_id": widget.model_id,
        }
        return bundle
