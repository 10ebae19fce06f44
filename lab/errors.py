"""What goes wrong in words for the user."""

from __future__ import annotations


class LabError(Exception):
    """Something the user should read: what failed, where to look, what to do. Shown without a traceback."""
