"""What comes in: whose the notebooks are that lie in a folder, a zip, a platform's download. Not
part of a release.

files        the files below a path, zips read as folders, within bounds
layouts      how platforms name what a student handed in
collect      students with their answers, and what lies there and is not graded
roster       the class list that a platform exports: names, ids, times
gradescope_export  whose a submission in an export of Gradescope is
"""
