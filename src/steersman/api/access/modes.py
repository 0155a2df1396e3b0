"""The authorizers that --authorization-mode chooses from; here those of all and of nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steersman.api.access.abac import AttributeBased, Policy
from steersman.api.access.authorization import ALLOWED, Attributes, Authorizer, Decision
from steersman.api.access.rules import EVERYTHING, Rule
from steersman.wire.message import User

WEBHOOK = "Webhook"
DENIED = Decision(False, "Everything is forbidden.")


class AlwaysAllow:
    """Allows everything to everybody."""

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Allows."""
        return ALLOWED

    def rules_of(self, _user: User, _namespace: str) -> Sequence[Rule]:
        """Returns the rules that allow everything."""
        return EVERYTHING


class AlwaysDeny:
    """Allows nothing; it says so, and others may still allow (alwaysDenyAuthorizer has no
    opinion)."""

    def allowed(self, user: User, attributes: Attributes) -> Decision:
        """Refuses."""
        return DENIED


def chosen(
    modes: Iterable[str],
    node: Authorizer,
    rbac: Authorizer,
    webhooks: Iterable[Authorizer] = (),
    policies: Sequence[Policy] = (),
) -> list[Authorizer]:
    """Returns the authorizers of modes, in their order; each Webhook is the next of `webhooks`, and
    ABAC goes by `policies`."""
    others = iter(webhooks)
    known: dict[str, Authorizer] = {
        "ABAC": AttributeBased(policies),
        "AlwaysAllow": AlwaysAllow(),
        "AlwaysDeny": AlwaysDeny(),
        "Node": node,
        "RBAC": rbac,
    }
    return [next(others) if mode == WEBHOOK else known[mode] for mode in modes]
