"""The base of errors that are the user's to mend: the command line prints them without a traceback."""


class LabError(Exception):
    """Something given to labkit cannot be used. The message names it and the way out."""


class MissingPackage(LabError, ImportError):
    """An optional package is not installed. The message says how to install it."""


class ExportError(LabError):
    """An exported model does not compute what the torch subnet computes, or does not run."""
