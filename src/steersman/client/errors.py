"""What a client raises beside the errors of `model.errors`."""

from __future__ import annotations


class Unreachable(Exception):
    """The API could not be asked, or broke off before its answer was whole.

    Whether a write took effect is then not known.
    """


class Unreadable(Unreachable):
    """The API answered with something that this client cannot read; the text says what."""
