"""Run notebooks with nbval in processes that hold nothing of the exercises.

job             executes the notebooks of a job and collects what answers returned
forked_kernels  kernels that are forked, not started, so that torch is imported once
nbval_plugin    what nbval leaves out: limits of cells, a kernel's death, inputs and returned values
limited_child   work on what a student made, with limits of time and memory
witness_server  notes what happens while an answer runs, out of the answer's reach
safe_reading    reading a file that a student's code may have made
"""
