"""What makes a notebook the student's own: its story runs on the student's functions that passed
their checks, shows a result once the student has guessed it, and keeps what was measured and fitted
for the notebooks after it.
"""
