"""Tokens in Secrets that were made for a ServiceAccount by itself go when nobody uses them: first
they are marked as invalid, and after as long again they are deleted.

Follows pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go, which looks once a
day; this one comes when it is time. The API server notes when a token was used, and since when it
does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

import msgspec

from steersman.client.interface import Views
from steersman.model.errors import NotFound
from steersman.model.kinds.configmap import CONFIGMAP, ConfigMap
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.secret import SECRET, Secret
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT, ServiceAccount
from steersman.model.ref import Ref
from steersman.model.times import seconds
from steersman.model.view import Object
from steersman.reconcile.actions import Action, Delete, Patch, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

TYPE: Final = "kubernetes.io/service-account-token"
ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
ACCOUNT_UID: Final = "kubernetes.io/service-account.uid"
LAST_USED: Final = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE: Final = "kubernetes.io/legacy-token-invalid-since"
TRACKING: Final = CONFIGMAP.ref(
    "kube-system", "kube-apiserver-legacy-service-account-token-tracking"
)
SINCE: Final = "since"
# --legacy-service-account-token-clean-up-period, upstream's default
PERIOD: Final = timedelta(days=365)
DAY: Final = timedelta(days=1)
_DATE: Final = "%Y-%m-%d"


class Verdict(msgspec.Struct, frozen=True):
    """What is done about a token now, or when it is looked at again (None: when it changes)."""

    action: Action | None = None
    again: datetime | None = None


def parse_day(text: str) -> datetime | None:
    """Returns the beginning of a day, None for what is none."""
    try:
        return datetime.strptime(text, _DATE).replace(tzinfo=UTC)
    except ValueError:
        return None


def plan(
    secret: Object,
    account: ServiceAccount | None,
    mounted: bool,
    since: datetime,
    now: datetime,
    period: timedelta = PERIOD,
) -> Verdict:
    """Returns what becomes of a token whose use is noted since the beginning of a day; it may be
    unused for a period. Of its Secret the metadata is enough."""
    metadata = secret.metadata
    if metadata.deletion_timestamp is not None:
        return Verdict()
    created = datetime.fromtimestamp(seconds(metadata.creation_timestamp), UTC)
    known = max(since + DAY, created)
    if now < known + period:
        return Verdict(again=known + period)
    if LAST_USED in metadata.labels:
        used = parse_day(metadata.labels[LAST_USED])
        if used is None:
            return Verdict()  # nobody can tell
        if not _is_past(used, now - period):
            return Verdict(again=used + DAY + period)
    if not _is_made_by_itself(secret, account):
        return Verdict()
    if mounted:
        return Verdict(again=now + DAY)
    ref = SECRET.ref(*secret.key)
    invalid = parse_day(metadata.labels.get(INVALID_SINCE, ""))
    if invalid is None:
        labels = {INVALID_SINCE: now.strftime(_DATE)}
        return Verdict(Patch(ref, {"metadata": {"labels": labels}}, uid=metadata.uid))
    if not _is_past(invalid, now - period):
        return Verdict(again=invalid + DAY + period)
    return Verdict(Delete(ref, metadata.uid, metadata.revision))


def _is_past(day: datetime, then: datetime) -> bool:
    """Says whether a day was before that of a time, as upstream compares their texts."""
    return day.date() < then.date()


def _is_made_by_itself(secret: Object, account: ServiceAccount | None) -> bool:
    """Says whether the account that a token is of names it, as those have it that were made
    without being asked for."""
    if account is None:
        return False
    uid = secret.metadata.annotations.get(ACCOUNT_UID)
    named = any(it.name == secret.metadata.name for it in account.secrets)
    return named and uid in (None, "", account.metadata.uid)


def secrets_of(pod: Pod) -> Iterator[str]:
    """Yields the Secrets that a pod names."""
    spec = pod.spec
    yield from (it.name for it in spec.image_pull_secrets)
    for container in (*spec.init_containers, *spec.containers, *spec.ephemeral_containers):
        for variable in container.env:
            if variable.value_from is not None and variable.value_from.secret_key_ref is not None:
                yield variable.value_from.secret_key_ref.name
        yield from (it.secret_ref.name for it in container.env_from if it.secret_ref is not None)
    for volume in spec.volumes:
        if volume.secret is not None:
            yield volume.secret.secret_name
        sources = volume.projected.sources if volume.projected is not None else ()
        yield from (it.secret.name for it in sources if it.secret is not None)


def _of_token(_views: Views, old: Object | None, new: Object | None) -> Iterable[Ref]:
    """Maps a change of what may be such a token, which must name its account, to itself."""
    found = new or old
    named = found is not None and ACCOUNT_NAME in found.metadata.annotations
    return (SECRET.ref(*found.key),) if found is not None and named else ()


class LegacyTokenCleanerController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "legacy-serviceaccount-token-cleaner-controller"
    account: ClassVar[str] = "legacy-service-account-token-cleaner"
    watches: ClassVar[tuple[Watch, ...]] = (Watch(SECRET, _of_token, metadata=True),)
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("secrets",), ("delete", "patch")),
        Rule("", ("configmaps",), ("get",)),
    )

    period: ClassVar[timedelta] = PERIOD

    def __init__(self, given: Given) -> None:
        self._given = given
        self._secrets = given.views.metadata_of(SECRET)
        self._accounts = given.views.of(SERVICEACCOUNT)
        self._pods = given.views.of(POD)

    async def reconcile(self, ref: Ref) -> Done:
        """Marks or deletes one token that nobody uses."""
        secret: Object | None = self._secrets.get(ref)
        if secret is None:
            return Done()
        now = datetime.fromtimestamp(self._given.world.now(), UTC)
        since = await self._since()
        if since is None:
            return Done(DAY.total_seconds())
        verdict = plan(
            secret, self._account(secret), self._is_mounted(secret), since, now, self.period
        )
        if verdict.action is not None and await self._is_token(secret):
            await act_one(self._given.client, self._given.events, verdict.action)
        again = verdict.again
        return Done((again - now).total_seconds() if again is not None else None)

    async def _is_token(self, secret: Object) -> bool:
        """Says whether a Secret is of the type, which its metadata does not tell; the role may not
        read Secrets, but a patch of nothing shows one."""
        ref = SECRET.ref(*secret.key)
        try:
            found: Secret = await self._given.client.patch(ref, {}, uid=secret.metadata.uid)
        except NotFound:
            return False
        return found.type == TYPE

    async def _since(self) -> datetime | None:
        """Returns the day since which the use of tokens is noted, None where nobody says."""
        try:
            tracking: ConfigMap = await self._given.client.get(TRACKING)
        except NotFound:
            return None
        return parse_day(tracking.data.get(SINCE, ""))

    def _account(self, secret: Object) -> ServiceAccount | None:
        name = secret.metadata.annotations.get(ACCOUNT_NAME, "")
        found: ServiceAccount | None = self._accounts.get(
            SERVICEACCOUNT.ref(secret.metadata.namespace, name)
        )
        return found

    def _is_mounted(self, secret: Object) -> bool:
        name, pods = secret.metadata.name, self._pods.list(secret.metadata.namespace)
        return any(name in secrets_of(pod) for pod in pods)
