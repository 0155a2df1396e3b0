"""Errors for people at the terminal, and how progress is shown to them."""

from __future__ import annotations

import sys
from types import TracebackType


class Failure(Exception):
    """The command cannot do what was asked; the text is one line that says why and what to do."""


def sole(error: BaseException) -> BaseException:
    """Returns what went wrong, out of the groups of tasks that it has passed alone."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class Progress:
    """One line on a terminal that says what is being waited for; nothing when piped."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.say("")

    def say(self, text: str) -> None:
        """Replaces the line."""
        if self._shows:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


def printable(text: str) -> str:
    """Returns text with control characters escaped, for what came from elsewhere."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text
    )


def why(error: Exception) -> str:
    """Returns in a few words why a file cannot be used."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
