"""Bootstrap tokens go once they have expired (pkg/controller/bootstrap, TokenCleaner)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from steersman.client.interface import Views
from steersman.controllers import bootstrap_tokens
from steersman.model.kinds.secret import SECRET, Secret
from steersman.model.ref import Ref
from steersman.reconcile.actions import Delete, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch


def plan(secret: Secret) -> Delete:
    """Returns the deletion of a token as it is: one that was prolonged meanwhile stays."""
    metadata = secret.metadata
    return Delete(SECRET.ref(*secret.key), metadata.uid, metadata.revision)


def _of_token(_views: Views, old: Secret | None, new: Secret | None) -> Iterable[Ref]:
    """Maps a change of a token to itself."""
    found = new or old
    if found is not None and bootstrap_tokens.is_token(found):
        return (SECRET.ref(*found.key),)
    return ()


class TokenCleanerController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "token-cleaner-controller"
    account: ClassVar[str] = "token-cleaner"
    watches: ClassVar[tuple[Watch, ...]] = (Watch(SECRET, _of_token),)
    writes: ClassVar[tuple[Rule, ...]] = (Rule("", ("secrets",), ("delete",)),)

    def __init__(self, given: Given) -> None:
        self._given = given
        self._secrets = given.views.of(SECRET)

    async def reconcile(self, ref: Ref) -> Done:
        """Deletes one token whose time has passed."""
        secret: Secret | None = self._secrets.get(ref)
        if secret is None:
            return Done()
        left = bootstrap_tokens.expires_in(secret, self._given.world.now())
        if left is None or left > 0:
            return Done(left)
        await act_one(self._given.client, self._given.events, plan(secret))
        return Done()
