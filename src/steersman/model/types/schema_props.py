"""JSONSchemaProps: the places in it that may hold a schema or something else.

The published schema says nothing of them, so what stands there is taken in here, as Go's own
decoder of these types does it: unknown fields go without a word.
"""

from __future__ import annotations

from typing import Any, Final

from steersman.model.errors import BadRequest
from steersman.model.kind import Document

DEFINITION: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_KIND = "CustomResourceDefinition"


def settle(props: Document) -> None:
    """Takes in what stands in the places that may hold a schema; raises BadRequest."""
    for name in ("additionalProperties", "additionalItems"):
        if name in props and not isinstance(props[name], bool):
            if not isinstance(props[name], dict):
                raise _refusal("boolean or JSON schema expected")
            _admit(props[name])
    items = props.get("items")
    if isinstance(items, dict):
        _admit(items)
    elif isinstance(items, list):
        for item in items:
            _admit(item)
    elif "items" in props:
        del props["items"]
    for one in (props.get("dependencies") or {}).values():
        if isinstance(one, dict):
            _admit(one)


def _admit(value: Any) -> None:
    from steersman.model import decode  # which is made of the defaults

    decode.admit(DEFINITION, value, _KIND, "v1")


def _refusal(why: str) -> BadRequest:
    return BadRequest(f'{_KIND} in version "v1" cannot be handled as a {_KIND}: {why}')
