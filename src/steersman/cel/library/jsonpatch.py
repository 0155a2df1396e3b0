"""Keys in the paths of JSON patches; only expressions that mutate know this library.

Follows k8s.io/apiserver/pkg/cel/library/jsonpatch.go.
"""

from __future__ import annotations

from typing import Final

from steersman.cel.functions import Functions, Overload
from steersman.cel.types import STRING


def _escape_key(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")


FUNCTIONS: Final[Functions] = {
    "jsonpatch.escapeKey": (Overload((STRING,), STRING, _escape_key, scans=(0,)),),
}
