"""Released kubectls and helms of several ages; `scripts/client_tools.py` brings them."""

from __future__ import annotations

from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / ".tools"


def tool(name: str) -> str:
    """Returns the path of a tool; the test is skipped where it is not there."""
    path = TOOLS / name
    if not path.exists():
        pytest.skip(f"{name} is not installed here (python scripts/client_tools.py)")
    return str(path)
