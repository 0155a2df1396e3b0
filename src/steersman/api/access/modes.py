"""The authorizers that --authorization-mode chooses from, beside Node, RBAC and webhooks: all and
nothing."""

from __future__ import annotations

from collections.abc import Iterable

from steersman.api.access.authorization import ALLOWED, Attributes, Authorizer, Decision
from steersman.wire.message import User

WEBHOOK = "Webhook"
DENIED = Decision(False, "Everything is forbidden.")


class AlwaysAllow:
    """Allows everything to everybody."""

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Allows."""
        return ALLOWED


class AlwaysDeny:
    """Allows nothing; it says so, and others may still allow (alwaysDenyAuthorizer has no
    opinion)."""

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Refuses."""
        return DENIED


def chosen(
    modes: Iterable[str], node: Authorizer, rbac: Authorizer, webhooks: Iterable[Authorizer] = ()
) -> list[Authorizer]:
    """Returns the authorizers of modes, in their order; each Webhook is the next of `webhooks`."""
    others = iter(webhooks)
    known: dict[str, Authorizer] = {
        "AlwaysAllow": AlwaysAllow(),
        "AlwaysDeny": AlwaysDeny(),
        "Node": node,
        "RBAC": rbac,
    }
    return [next(others) if mode == WEBHOOK else known[mode] for mode in modes]
