"""The errors of the archiver: one family, so that a caller catches ArchiveError and is done."""

from __future__ import annotations


class ArchiveError(Exception):
    """An archive cannot be made or must not be used; the message says why and what to do."""


class MissingFile(ArchiveError, FileNotFoundError):
    """A file named on the command line is not there."""
