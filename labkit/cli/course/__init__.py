"""Commands of the course: check a notebook, release the course, grade hand-ins."""
