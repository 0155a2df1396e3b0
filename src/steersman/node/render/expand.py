"""$(NAME) in commands, arguments and values: pure (third_party/forked/golang/expansion)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """Returns the text with references replaced; unknown ones stay, $$ stands for one $."""

    def replace(found: re.Match[str]) -> str:
        name = found.group(1)
        if name is None:
            return "$"
        return values.get(name, found.group(0))

    return _REFERENCE.sub(replace, text)


def references(text: str) -> list[str]:
    """Returns the names that a text refers to, sorted, each once."""
    return sorted({name for name in _REFERENCE.findall(text) if name})
