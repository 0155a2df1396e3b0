"""Bootstrap tokens go once they have expired (pkg/controller/bootstrap, TokenCleaner)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from steersman.client.interface import Views
from steersman.controllers import bootstrap_tokens
from steersman.model.errors import NotFound
from steersman.model.kinds.secret import SECRET, Secret
from steersman.model.ref import Ref
from steersman.model.view import Object
from steersman.reconcile.actions import Delete, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch


def plan(secret: Secret) -> Delete:
    """Returns the deletion of a token as it is: one that was prolonged meanwhile stays."""
    metadata = secret.metadata
    return Delete(SECRET.ref(*secret.key), metadata.uid, metadata.revision)


def _of_token(_views: Views, old: Object | None, new: Object | None) -> Iterable[Ref]:
    """Maps a change of what may be a token to itself."""
    found = new or old
    if found is not None and bootstrap_tokens.is_named(found):
        return (SECRET.ref(*found.key),)
    return ()


class TokenCleanerController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "token-cleaner-controller"
    account: ClassVar[str] = "token-cleaner"
    watches: ClassVar[tuple[Watch, ...]] = (Watch(SECRET, _of_token, metadata=True),)
    writes: ClassVar[tuple[Rule, ...]] = (Rule("", ("secrets",), ("delete", "get")),)

    def __init__(self, given: Given) -> None:
        self._given = given

    async def reconcile(self, ref: Ref) -> Done:
        """Deletes one token whose time has passed."""
        try:
            secret: Secret = await self._given.client.get(ref)
        except NotFound:
            return Done()
        if not bootstrap_tokens.is_token(secret):
            return Done()
        left = bootstrap_tokens.expires_in(secret, self._given.world.now())
        if left is None or left > 0:
            return Done(left)
        await act_one(self._given.client, self._given.events, plan(secret))
        return Done()
