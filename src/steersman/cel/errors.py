"""What can go wrong with an expression: when it is compiled, and when it is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_ISSUES = 100  # cel-go's maxErrorsToReport


@dataclass(frozen=True, slots=True)
class Issue:
    """One mistake in a text: where it is, as an offset in characters, and what it is."""

    position: int
    message: str


class CompileError(Exception):
    """An expression is no expression, or its types do not fit; the text is cel-go's."""

    def __init__(self, text: str, issues: Sequence[Issue]) -> None:
        self.issues = tuple(sorted(issues, key=lambda issue: issue.position))
        shown = [render(text, issue) for issue in self.issues[:MOST_ISSUES]]
        if (left := len(self.issues) - MOST_ISSUES) > 0:
            shown.append(f"{left} more errors were truncated")
        super().__init__("\n".join(shown))


class EvaluationError(Exception):
    """An evaluation has no value; the text is cel-go's."""


class BudgetExceeded(Exception):
    """An evaluation would cost more than it may. Logical operators do not absorb it."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


def render(text: str, issue: Issue) -> str:
    """Returns an issue with the line it stands in and a mark below (cel-go's ToDisplayString)."""
    before = text[: issue.position]
    line = before.count("\n")
    column = len(before) - (before.rfind("\n") + 1)
    snippet = text.split("\n")[line].replace("\t", " ")
    dots = "".join("." if one.isascii() else "\uff0e" for one in snippet[:column])
    mark = "\uff3e" if snippet[column : column + 1] > "\x7f" else "^"
    head = f"ERROR: <input>:{line + 1}:{column + 1}: {issue.message}"
    return f"{head}\n | {snippet}\n | {dots}{mark}"
