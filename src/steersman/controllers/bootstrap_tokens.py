"""What both controllers of bootstrap tokens read in the tokens' Secrets (cluster-bootstrap).

Not a controller. What cannot be read as a time has passed. Of all Secrets only the metadata is
followed; who may be a token is told by its name, and read then.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from steersman.model.kinds.secret import Secret
from steersman.model.view import Object

NAMESPACE: Final = "kube-system"
TYPE: Final = "bootstrap.kubernetes.io/token"
PREFIX: Final = "bootstrap-token-"


def is_named(found: Object) -> bool:
    """Says whether a Secret may hold a bootstrap token, by its name."""
    metadata = found.metadata
    return metadata.namespace == NAMESPACE and metadata.name.startswith(PREFIX)


def is_token(secret: Secret) -> bool:
    """Says whether a Secret holds a bootstrap token."""
    return secret.type == TYPE and secret.metadata.namespace == NAMESPACE


def text(secret: Secret, key: str) -> str:
    """Returns a value as text, empty where there is none; what is no text in UTF-8 matches
    nothing."""
    return secret.data.get(key, b"").decode(errors="replace")


def expires_in(secret: Secret, now: float) -> float | None:
    """Returns the seconds until a token expires (0: it has), None where it never does."""
    expiration = text(secret, "expiration")
    if not expiration:
        return None
    try:
        at = datetime.fromisoformat(expiration)
    except ValueError:
        return 0.0
    return max(0.0, at.timestamp() - now) if at.tzinfo is not None else 0.0
