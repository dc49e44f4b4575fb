"""What keeps an answer in while it runs, and what a run may use up.

fork_server    a process with torch and Jupyter imported that forks a confined child for each run
supervisor     what starts, watches and ends one confined run
walls          which walls are up, and the confinement of one process
file_view      the files that it sees: trees named one by one, read-only
landlock       a second wall around files, which needs no namespace
system_calls   the calls that it may make of the system
limits         what it may use up
look_around    what it can reach all the same, tried out
linux          the system calls that this takes
process_tree   what a run started: its memory, its end
run_folder     the one folder for all that a grading leaves on the disk while it runs
"""
