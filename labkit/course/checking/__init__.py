"""Run a student's answers and judge them: what `labkit check` and `labkit grade` share. Part of a
release.

submission  reads a notebook and finds the answers in it assemble    puts one answer into a pristine
notebook, with the setup that it needs and nothing else shadow      the copy of labkit that answers
run with: without judges, without what is asked running     executes assembled notebooks with nbval
(plugin, kernels), in a process without labkit handover    what a kernel calls: inputs in, returned
values out, as plain JSON (values) limits      a limit of time for what is done with an answer
outside of its process marking     expected values, after the kernels are gone: from returned values
to marks
"""
