"""The students' repository, made from the instructor's checkout."""
