"""What goes out: points with penalties and extras, tables that platforms import. Not part of a
release.

terms        what a course decides: class list, deadline, tables
deadline     how late a hand-in is, and what that costs
by_hand      points, comments and extensions that a teaching assistant gives
totals       a student's points, less what lateness costs, with what was given by hand
tables       tables as text, no cell of which a spreadsheet calculates
canvas       the table that Canvas's gradebook imports
moodle       the grading worksheet and the zip of feedback files that Moodle imports
gradescope   results.json of an autograder on Gradescope
"""
