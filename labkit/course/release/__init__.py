"""For instructors: what students get, made from the instructor's checkout. Not part of a release.

student_notebooks  the students' notebooks beside the instructor's, and the cells that checks use
contents           which files a release holds, and its notebooks with badge and address
release            the students' repository, put into place in one step
gradescope         an archive that Gradescope builds an autograder from
"""
