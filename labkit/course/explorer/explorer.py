"""The explorer: sliders for a device and its limits, the subnet that meets them, and its gap.

    Explorer(space, trained.predictor)      the last line of a cell shows it

Evolution searches for the subnet, and exact search says how far it is from the best. `recommend`
and `figure` need no front end. Where there is none, a picture of the first recommendation is shown
instead of the panel.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from labkit.course.explorer.live_picture import draw_recommendation, frame
from labkit.course.explorer.recommendations import Recommendation, Recommender
from labkit.course.pictures.display import png


class Explorer(Recommender):
    """Recommendations as pictures, and a panel of ipywidgets (7.7 and 8) that shows them."""

    def figure(self, recommendation: Recommendation) -> Figure:
        """The subnet as blocks above its place on the front."""
        figure = frame(self, recommendation.costs.device.name)
        draw_recommendation(figure, self, recommendation)
        return figure

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The panel for front ends that know widgets, a picture and a text for the others."""
        from labkit.course.explorer.panel import panel

        recommendation = self.first_recommendation()
        bundle = {
            "text/plain": recommendation.text(),
            "image/png": png(self.figure(recommendation)),
        }
        widget = panel(self, recommendation)
        bundle["application/vnd.jupyter.widget-view+json"] = {
            "version_major": 2,
            "version_minor": 0,
            "model_id": widget.model_id,
        }
        return bundle
