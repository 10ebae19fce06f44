"""Errors that are shown to the user."""

from __future__ import annotations


class LabError(Exception):
    """What failed, which log to read, what to do. Shown without a traceback."""
