"""Who bears a token: those who know tokens are asked in upstream's order.

The first who knows a token decides. What they say against it is for TokenReview alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from steersman.api.access.tokens import InvalidToken, Tokens
from steersman.wire.message import User

AUTHENTICATED = "system:authenticated"


class Knows(Protocol):
    """One who knows tokens that say nothing of audiences: they are for this server."""

    def user(self, token: str) -> User | None:
        """Returns who bears a token, None for one of somebody else; raises InvalidToken."""


class Borne(NamedTuple):
    """Who bears a token, and for which of the wanted audiences it is."""

    user: User
    audiences: tuple[str, ...]


class Bearers:
    """See the module. `first` and `then` are asked before and after the server's own tokens."""

    def __init__(
        self, own: Tokens, first: Sequence[Knows] = (), then: Sequence[Knows] = ()
    ) -> None:
        self._own = own
        self._first = tuple(first)
        self._then = tuple(then)

    @property
    def audiences(self) -> tuple[str, ...]:
        """The audiences of this server."""
        return self._own.audiences

    def verify(self, token: str, audiences: Sequence[str] = ()) -> Borne:
        """Returns who bears a token that is for one of the audiences (default: the server's).

        Raises InvalidToken with all that was said against it.
        """
        wanted = tuple(audiences) or self.audiences
        against: list[str] = []
        for knows in self._first:
            if found := self._ask(knows, token, wanted, against):
                return found
        try:
            proven = self._own.verify(token, wanted)
            return Borne(proven.user, tuple(one for one in proven.audiences if one in wanted))
        except InvalidToken as error:
            against += [str(error)]
        for knows in self._then:
            if found := self._ask(knows, token, wanted, against):
                return found
        raise InvalidToken(", ".join(filter(None, against)))

    def _ask(
        self, knows: Knows, token: str, wanted: tuple[str, ...], against: list[str]
    ) -> Borne | None:
        mine = tuple(one for one in self.audiences if one in wanted)
        if not mine:
            return None
        try:
            user = knows.user(token)
        except InvalidToken as error:
            against.append(str(error))
            return None
        return None if user is None else Borne(authenticated(user), mine)


def authenticated(user: User) -> User:
    """Returns a user with the group of all who are somebody."""
    if AUTHENTICATED in user.groups:
        return user
    return msgspec.structs.replace(user, groups=(*user.groups, AUTHENTICATED))
