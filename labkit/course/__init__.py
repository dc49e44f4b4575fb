"""What the notebooks use: exercises and their checks, pictures, widgets.

>>> from labkit.course import check, show
>>> check("1.1", small_kernel)  # doctest: +SKIP
Exercise 1.1: correct, 4 of 4 points
"""

from labkit.course.notebook import check, check_notebook
from labkit.course.pictures.display import show
from labkit.course.story.predictions import beside, your_predictions
from labkit.course.story.yours import yours

__all__ = ["beside", "check", "check_notebook", "show", "your_predictions", "yours"]
