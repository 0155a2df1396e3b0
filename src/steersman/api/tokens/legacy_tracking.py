"""Notes on Secrets when their tokens were last used, and in a ConfigMap since when that is noted.

Follows pkg/serviceaccount/legacy.go and pkg/controlplane/controller/legacytokentracking. A day is
noted once, and nobody who uses a token waits for it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

from steersman.api.bootstrap.keeping import Keeping
from steersman.api.bootstrap.writing import send
from steersman.api.cache import Cache, Event
from steersman.api.server import Api
from steersman.api.tokens.bootstrap_tokens import SECRETS
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.world.interface import Tasks, World

LAST_USED: Final = "kubernetes.io/legacy-token-last-used"
NAMESPACE: Final = "kube-system"
NAME: Final = "kube-apiserver-legacy-service-account-token-tracking"
SINCE: Final = "since"
MAPS: Final = Resource("", "configmaps")
_MAPS_PATH: Final = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


def is_noted(secret: Document, now: float) -> bool:
    """Says whether a Secret says that its token was used today; another server's clock may be a
    day ahead."""
    today = _day(now)
    noted = (secret["metadata"].get("labels") or {}).get(LAST_USED)
    return noted in (today.isoformat(), (today + timedelta(days=1)).isoformat())


def render_tracking(present: Document | None, now: float) -> Document | None:
    """Returns the ConfigMap as it is to be, None where it says since when."""
    data = dict((present or {}).get("data") or {})
    if present is not None and _is_day(data.get(SINCE, "")):
        return None
    head: Document = {"apiVersion": "v1", "kind": "ConfigMap"}
    metadata = {"namespace": NAMESPACE, "name": NAME}
    data[SINCE] = _day(now).isoformat()
    return {**(present or {**head, "metadata": metadata}), "data": data}


def _day(now: float) -> date:
    return datetime.fromtimestamp(now, UTC).date()


def _is_day(text: str) -> bool:
    try:
        return bool(datetime.strptime(text, "%Y-%m-%d"))
    except ValueError:
        return False


class LegacyTracking:
    """See the module."""

    def __init__(self, cache: Cache, world: World) -> None:
        self._secrets = cache.table(SECRETS)
        self._maps = cache.table(MAPS)
        self._world = world
        self._keeping = Keeping(world, self._keep)
        self._api: Api | None = None

    def used(self, secret: Document) -> None:
        """Hears that a Secret's token was used."""
        if not is_noted(secret, self._world.now()):
            metadata = secret["metadata"]
            self._keeping.note(f"{metadata['namespace']}/{metadata['name']}")

    async def begin(self, api: Api) -> None:
        """Says since when the use of tokens is noted, before anybody can show one."""
        self._api = api
        await self._keep_map(api)

    async def run(self, tasks: Tasks) -> None:
        """Works for ever."""
        self._maps.watch(NAMESPACE, self._hear)
        await self._keeping.run(tasks)

    def _hear(self, event: Event) -> None:
        entry = event.new or event.old
        if entry is not None and entry.name == NAME:
            self._keeping.note(NAME)

    async def _keep(self, name: str) -> None:
        assert self._api is not None
        if name == NAME:
            await self._keep_map(self._api)
        else:
            await self._note_use(self._api, *name.split("/"))
        self._keeping.settle(name)

    async def _keep_map(self, api: Api) -> None:
        entry = self._maps.get(NAMESPACE, NAME)
        present = entry.document() if entry is not None else None
        wanted = render_tracking(present, self._world.now())
        if wanted is None:
            return
        if entry is None:
            await send(api, "POST", _MAPS_PATH, wanted)
            return
        wanted["metadata"]["resourceVersion"] = str(entry.revision)
        await send(api, "PUT", f"{_MAPS_PATH}/{NAME}", wanted)

    async def _note_use(self, api: Api, namespace: str, name: str) -> None:
        entry = self._secrets.get(namespace, name)
        if entry is None:
            return
        secret, now = entry.document(), self._world.now()
        metadata = secret["metadata"]
        metadata["labels"] = {**(metadata.get("labels") or {}), LAST_USED: _day(now).isoformat()}
        metadata["resourceVersion"] = str(entry.revision)
        await send(api, "PUT", f"/api/v1/namespaces/{namespace}/secrets/{name}", secret)
