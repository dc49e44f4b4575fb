"""For instructors: grade what students hand in. Not part of a release.

grade          all hand-ins, several at a time, to reports
graded_run     one hand-in: its confined runs, and marks from what came back
reference      the instructor's own solutions, which are graded first
autograder     what runs in a container of Gradescope's
result_store   results between runs, so that only what changed is graded again
grade_files    the table for the gradebook and the same as JSON
feedback       Markdown for each student, and on the class for the instructor
"""
