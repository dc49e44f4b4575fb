"""What keeps an answer in while it runs, and what a run may use up.

fork_server    a process with torch and Jupyter imported that forks a confined child for each run
walls          what a run may see, reach and use up
linux          the system calls that this takes
process_tree   what a run started: its memory, its end
"""
