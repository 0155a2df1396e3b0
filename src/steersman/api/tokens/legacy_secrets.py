"""Fills Secrets with the tokens of ServiceAccounts, and removes those whose account is gone.

Upstream's controller serviceaccount-token does it; here the server itself, which has the key.
"""

from __future__ import annotations

from steersman.api.access.tokens import Tokens
from steersman.api.bootstrap.keeping import Keeping
from steersman.api.bootstrap.writing import send
from steersman.api.cache import Cache, Event
from steersman.api.server import Api
from steersman.api.tokens import legacy_tokens as legacy
from steersman.api.tokens.bootstrap_tokens import SECRETS
from steersman.world.interface import Tasks, World


class LegacySecrets:
    """See the module. `bundle` is the authority by which pods know the server (PEM)."""

    def __init__(self, cache: Cache, api: Api, tokens: Tokens, bundle: str, world: World) -> None:
        self._secrets = cache.table(SECRETS)
        self._accounts = cache.table(legacy.ACCOUNTS)
        self._api = api
        self._tokens = tokens
        self._bundle = bundle
        self._keeping = Keeping(world, self._keep)

    async def run(self, tasks: Tasks) -> None:
        """Works for ever: what is there first, then what comes."""
        self._note_all("")
        self._secrets.watch("", self._hear_secret)
        self._accounts.watch("", self._hear_account)
        await self._keeping.run(tasks)

    def _note_all(self, namespace: str) -> None:
        for entry in self._secrets.ordered(namespace):
            if _is_typed(entry.value):
                self._keeping.note(f"{entry.namespace}/{entry.name}")

    def _hear_secret(self, event: Event) -> None:
        if (entry := event.new) is not None and _is_typed(entry.value):
            self._keeping.note(f"{entry.namespace}/{entry.name}")

    def _hear_account(self, event: Event) -> None:
        """An account that comes or goes matters to the Secrets of its namespace."""
        if event.old is None or event.new is None:
            entry = event.new or event.old
            assert entry is not None
            self._note_all(entry.namespace)

    async def _keep(self, name: str) -> None:
        namespace, _, own = name.partition("/")
        entry = self._secrets.get(namespace, own)
        if entry is None:
            return
        secret = entry.document()
        account_name = legacy.account_of(secret)
        if not legacy.is_legacy(secret) or secret["metadata"].get("deletionTimestamp"):
            return
        found = self._accounts.get(namespace, account_name) if account_name else None
        account = found.document() if found is not None else None
        path = f"/api/v1/namespaces/{namespace}/secrets/{own}"
        if account is None or not legacy.is_of(secret, account):
            same = {"uid": secret["metadata"]["uid"], "resourceVersion": str(entry.revision)}
            await send(self._api, "DELETE", path, {"preconditions": same})
        elif not account["metadata"].get("deletionTimestamp"):
            secret["metadata"]["resourceVersion"] = str(entry.revision)
            filled = legacy.fill(secret, account, self._bundle, self._tokens.sign)
            if filled is not None:
                await send(self._api, "PUT", path, filled)
        self._keeping.settle(name)


def _is_typed(value: bytes) -> bool:
    """Says whether a Secret may be one of those, without decoding all that are written."""
    return legacy.TYPE.encode() in value
