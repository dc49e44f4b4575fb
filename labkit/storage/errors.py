"""Errors that the user can mend: the command line prints their message without a traceback."""

import zipfile
import zlib


class LabError(Exception):
    """Something given to labkit cannot be used. The message names it and the way out."""


class MissingPackage(LabError, ImportError):
    """An optional package is not installed. The message says how to install it."""


class ExportError(LabError):
    """An exported model does not compute what the torch subnet computes, or does not run."""


# What reading a damaged or foreign npz or safetensors header raises beyond the reader's own error:
# zip and deflate errors are no ValueErrors, an .npy file is no archive, and a header may be valid
# JSON of another shape.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
