"""The course as it is handed out: what a student's notebook is made of, and its cells for checks.

notebook_file    a notebook as JSON: read, write, source of its cells
student_copy     the instructor's notebook without solutions, outputs and stray metadata
pristine_course  the cells of each notebook as students got it, which checks build on
free_text        what students wrote into text cells, for their reports and for marking by hand
"""
