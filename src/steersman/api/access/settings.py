"""What this server was told of who asks and who may; `cli.apiserver` reads the files of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import field

from steersman.api.access.abac import Policy
from steersman.api.access.webhook.settings import WebhookSettings
from steersman.api.tokens.jwt_settings import Authentication
from steersman.client.http import Target
from steersman.wire.message import User

MODES = ("Node", "RBAC")


class AccessSettings(msgspec.Struct, frozen=True):
    """Chosen authenticators and authorizers.

    tokens: users of static tokens, by the token's hash
    authentication: issuers of tokens, and for which paths nobody need say who they are
    webhook: where a webhook is that knows tokens, and the version of the reviews it takes
    modes:  the authorizers in the order in which they are asked
    policies: of the mode ABAC
    authorization_webhooks: those that are asked who may, in the order of "Webhook" among the modes
    """

    tokens: Mapping[bytes, User] = field(default_factory=dict)
    modes: tuple[str, ...] = MODES
    authentication: Authentication | None = None
    webhook: tuple[Target, str] | None = None
    authorization_webhooks: tuple[WebhookSettings, ...] = ()
    policies: Sequence[Policy] = ()

    def anonymous_paths(self) -> frozenset[str] | None:
        """Returns the paths for which requests may be anonymous, None for all."""
        if self.authentication is None or (chosen := self.authentication.anonymous) is None:
            return None
        if not chosen.enabled:
            return frozenset()
        return frozenset(one.path for one in chosen.conditions) or None
