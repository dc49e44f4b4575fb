"""Where files lie and how they are read and written; errors that a user can mend."""
