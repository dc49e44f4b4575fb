"""What the notebooks use: exercises and their checks, pictures, widgets.

>>> from labkit.course import check, show
>>> check("1.1", small_kernel)  # doctest: +SKIP
Exercise 1.1: correct, 4 of 4 points
"""

from labkit.course.exercises.exercise import check
from labkit.course.notebook import beside, check_notebook, show

__all__ = ["beside", "check", "check_notebook", "show"]
