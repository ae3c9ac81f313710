"""The one exception that means: the user can put this right."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in the input, told in one line: what, where, and what would be right."""
