"""Run a student's answers and judge them: what `check` in a notebook, `check_notebook()`,
`labkit check` and `labkit grade` share. Part of a release.

submitted_file     the cells of a submitted notebook, read without trusting the file
submission         which cell answers which exercise, what runs for it, and what is wrong elsewhere
session            the notebook that a running session belongs to: what ran, and the saved file
answer_notebook    the notebook that runs one answer: what it needs of the student's notebook
stripped_copy      the copy of labkit that answers run with: without judges and what is asked for
emptied_functions  source without the bodies of labkit's own answers
answer_call        what a kernel calls: inputs in, returned values out
marking            from returned values to marks, once the kernels are gone
answer_run         all of that for the answers of one notebook, each confined and on its own
time_limit         a time limit for what is done with an answer outside of its process
requirements       what all of that takes of the machine
check              all of it for one notebook, on the student's own machine
"""
