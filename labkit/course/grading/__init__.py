"""For instructors: release the students' repository, grade what comes back. Not part of a release."""
