"""The logins of one pod for one image: of its pull secrets first, then the node's own.

Pure but for the node's file, which is read when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from steersman.images.credentials import (
    CONFIG_LIMIT,
    BadCredentials,
    Entry,
    Login,
    logins_for,
    parse_config,
    parse_legacy,
)
from steersman.images.references import Reference
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.secret import Secret
from steersman.node.objects import Objects

_FORMS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson", parse_config),
    "kubernetes.io/dockercfg": (".dockercfg", parse_legacy),
}


class Source(msgspec.Struct, frozen=True):
    """Where a login comes from: a Secret, or the node itself where `uid` is empty."""

    namespace: str = ""
    name: str = ""
    uid: str = ""


class Offer(msgspec.Struct, frozen=True):
    """A login that may be tried, and its source."""

    login: Login
    source: Source


class Access(msgspec.Struct, frozen=True):
    """What a pod has to show for an image, in the order in which it is tried."""

    offers: tuple[Offer, ...] = ()


def secrets_of(pod: Pod, objects: Objects) -> tuple[list[Secret], list[str]]:
    """Returns the pull secrets of a pod, and the names of those that are not there."""
    found, missing = [], []
    for reference in pod.spec.image_pull_secrets:
        secret = objects.secret(reference.name, optional=True)
        if secret is None:
            missing.append(reference.name)
        else:
            found.append(secret)
    return found, missing


def access_to(
    reference: Reference,
    secrets: Iterable[Secret],
    node: Iterable[Entry],
    provided: Iterable[tuple[Source, Iterable[Entry]]] = (),
) -> Access:
    """Returns what there is to show for an image: by pull secrets, by the node's file, then by
    providers; raises BadCredentials."""
    offers = []
    for secret in secrets:
        meta = secret.metadata
        source = Source(meta.namespace, meta.name, meta.uid)
        offers += [Offer(it, source) for it in logins_for(reference, _entries(secret))]
    for source, entries in ((Source(), node), *provided):
        offers += [Offer(it, source) for it in logins_for(reference, entries)]
    return Access(tuple(offers))


def _entries(secret: Secret) -> list[Entry]:
    """Returns the entries of a pull secret; none for a Secret of another type."""
    if secret.type not in _FORMS:
        return []
    key, parse = _FORMS[secret.type]
    try:
        return parse(secret.data.get(key, b"{}"))
    except BadCredentials as error:
        name = f"{secret.metadata.namespace}/{secret.metadata.name}"
        raise BadCredentials(f"secret {name}: {error}") from None


def read_node(path: Path) -> list[Entry]:
    """Returns the node's own logins; none without a file. Raises BadCredentials, OSError."""
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_LIMIT + 1)
    except FileNotFoundError:
        return []
    try:
        return parse_config(data)
    except BadCredentials as error:
        raise BadCredentials(f"{path}: {error}") from None
