"""All who know tokens, by what this server was told, in upstream's order."""

from __future__ import annotations

from collections.abc import Callable

from steersman.api.access.settings import AccessSettings
from steersman.api.access.tokens import Tokens
from steersman.api.tokens.bearers import Bearers, Knows
from steersman.api.tokens.bootstrap_tokens import BootstrapTokens
from steersman.api.tokens.issuers import Issuers
from steersman.api.tokens.legacy_tokens import LegacyTokens
from steersman.api.tokens.token_file import StaticTokens
from steersman.model.kind import Document
from steersman.model.ref import Ref
from steersman.world.interface import World


def assemble_bearers(
    settings: AccessSettings,
    tokens: Tokens,
    find: Callable[[Ref], Document | None],
    used: Callable[[Document], None],
    issuers: Issuers,
    world: World,
) -> Bearers:
    """Returns who is asked about a token; `used` hears of Secrets whose token was shown."""
    first = [StaticTokens(settings.tokens)] if settings.tokens else []
    then: list[Knows] = [LegacyTokens(tokens, find, used), BootstrapTokens(find, world.now)]
    then.append(issuers)
    if settings.webhook is not None:
        from steersman.api.tokens.webhook import WebhookTokens

        then.append(WebhookTokens(*settings.webhook, tokens.audiences, world))
    return Bearers(tokens, first, then)
