"""Run a student's answers and judge them: what `labkit check` and `labkit grade` share. Part of a
release.

submitted_file     the cells of a submitted notebook, read without trusting the file
submission         which cell is the answer to which exercise, and what is wrong with the rest
answer_notebook    the notebook that runs one answer, with the setup that it needs and nothing else
program_slice      which statements an answer or a run needs
stripped_copy      the copy of labkit that answers run with: without judges and what is asked for
emptied_functions  source without the bodies of labkit's own answers
answer_call        what a kernel calls: inputs in, returned values out
marking            from returned values to marks, once the kernels are gone
time_limit         a time limit for what is done with an answer outside of its process
check              all of it for one notebook, on the student's own machine
"""
