"""The issuers of JSON web tokens that are trusted, which may change while the server runs."""

from __future__ import annotations

from steersman.api.access.tokens import InvalidToken
from steersman.api.tokens.bearers import Knows
from steersman.api.tokens.jwt_settings import Authentication
from steersman.wire.message import User
from steersman.world.interface import World


class Issuers:
    """Knows the tokens of all issuers; see `bearers.Knows`."""

    def __init__(self, authentication: Authentication | None, world: World) -> None:
        self._world = world
        self._issuers: tuple[Knows, ...] = ()
        self.trust(authentication)

    def trust(self, authentication: Authentication | None) -> None:
        """Trusts these issuers from now on, and no others."""
        self._issuers = tuple(self._tokens_of(authentication)) if authentication else ()

    def user(self, token: str) -> User | None:
        """Returns whom a token names, None for one of nobody here; raises InvalidToken with what
        all say against it."""
        against: list[str] = []
        for issuer in self._issuers:
            try:
                if (found := issuer.user(token)) is not None:
                    return found
            except InvalidToken as error:
                against.append(str(error))
        if against:
            raise InvalidToken(", ".join(against))
        return None

    def _tokens_of(self, authentication: Authentication) -> list[Knows]:
        if not authentication.jwt:
            return []
        # Expressions and keys load where there is an issuer
        from steersman.api.tokens.distributed import Distributed
        from steersman.api.tokens.jwt import JWTTokens
        from steersman.api.tokens.jwt_expressions import Compiled
        from steersman.api.tokens.key_set import KeySet

        found: list[Knows] = []
        algorithms, world = authentication.algorithms, self._world
        for one in authentication.jwt:
            issuer, claim = one.issuer, one.claim_mappings.groups.claim
            authority, groups = issuer.certificate_authority, None
            keys = KeySet(issuer.url, issuer.discovery_url, authority, world)
            if claim:
                groups = Distributed(claim, authority, issuer.audiences, algorithms, world)
            found.append(JWTTokens(Compiled(one), keys, world.wire_now, algorithms, groups))
        return found
