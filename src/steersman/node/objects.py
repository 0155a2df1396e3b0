"""The ConfigMaps and Secrets that a pod names, followed for as long as a pod names them.

As the kubelet's watch-based managers: one small watch per object, since the Node authorizer lets a
node see only what its pods refer to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec
from msgspec import field

from steersman.client.client import APIClient
from steersman.client.view import FollowedView
from steersman.model.kind import Kind
from steersman.model.kinds.clustertrustbundle import CLUSTERTRUSTBUNDLE, ClusterTrustBundle
from steersman.model.kinds.configmap import CONFIGMAP, ConfigMap
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.secret import SECRET, Secret
from steersman.model.ref import Ref
from steersman.node.containers import all_containers
from steersman.world.interface import Tasks, World

KINDS: dict[str, Kind] = {
    "configmap": CONFIGMAP,
    "secret": SECRET,
    "clustertrustbundle": CLUSTERTRUSTBUNDLE,
}
# An object that the API does not answer for in this time is a trouble to be told
FIRST_LIST_SECONDS = 10.0

# Of trust bundles all are followed, whatever a pod names: the name is empty
Name = tuple[Literal["configmap", "secret", "clustertrustbundle"], str]
ALL_BUNDLES: Name = ("clustertrustbundle", "")


class BadConfiguration(Exception):
    """What a pod asks for cannot be had; the text is the message of its waiting state."""


class _Followed(msgspec.Struct):
    view: FollowedView
    task: asyncio.Task[Any]
    pods: set[str] = field(default_factory=set)


class Objects:
    """The objects of one pod, read without waiting.

    trust_bundles: gives all ClusterTrustBundles, where the pod needs any
    """

    def __init__(
        self,
        namespace: str,
        read: Callable[[Ref], Any | None],
        bundles: Callable[[], Iterable[ClusterTrustBundle]] = tuple,
    ) -> None:
        self._namespace = namespace
        self._read = read
        self.trust_bundles = bundles

    def config_map(self, name: str, optional: bool = False) -> ConfigMap | None:
        """Returns a ConfigMap; raises BadConfiguration for one that must be there."""
        found: ConfigMap | None = self._read(CONFIGMAP.ref(self._namespace, name))
        if found is None and not optional:
            raise BadConfiguration(f'configmap "{name}" not found')
        return found

    def secret(self, name: str, optional: bool = False) -> Secret | None:
        """Returns a Secret; raises BadConfiguration for one that must be there."""
        found: Secret | None = self._read(SECRET.ref(self._namespace, name))
        if found is None and not optional:
            raise BadConfiguration(f'secret "{name}" not found')
        return found


class FollowedObjects:
    """All objects that the pods of this node name."""

    def __init__(self, client: APIClient, world: World, tasks: Tasks) -> None:
        self._client = client
        self._world = world
        self._tasks = tasks
        self._followed: dict[Ref, _Followed] = {}

    async def acquire(
        self, pod: Pod, names: Iterable[Name], changed: Callable[[], None]
    ) -> Objects:
        """Follows what a pod names from now on; `changed` is called when one of them changes.

        Raises BadConfiguration where the API does not answer.
        """
        namespace, uid = pod.metadata.namespace, pod.metadata.uid
        views = []
        for kind, name in sorted(set(names)):
            ref = KINDS[kind].ref(namespace if KINDS[kind].namespaced else "", name)
            followed = self._followed.get(ref) or self._follow(ref, KINDS[kind])
            if uid not in followed.pods:
                followed.pods.add(uid)
                followed.view.listen(lambda old, new: changed())
            views.append(followed.view)
        try:
            async with self._world.timeout(FIRST_LIST_SECONDS):
                for view in views:
                    await view.synced()
        except TimeoutError:
            troubles = [str(view.trouble) for view in views if view.trouble is not None]
            text = troubles[0] if troubles else "no answer from the API"
            raise BadConfiguration(f"failed to sync the objects of the pod: {text}") from None
        return self.of(pod)

    def of(self, pod: Pod) -> Objects:
        """Returns what is followed for a pod already."""
        return Objects(pod.metadata.namespace, self._read, self._bundles)

    def release(self, uid: str) -> None:
        """Stops following what only this pod named."""
        for ref, followed in list(self._followed.items()):
            followed.pods.discard(uid)
            if not followed.pods:
                followed.task.cancel()
                del self._followed[ref]

    def _follow(self, ref: Ref, kind: Kind) -> _Followed:
        view = FollowedView(
            self._client,
            kind,
            self._world,
            namespace=ref.namespace,
            fields=f"metadata.name={ref.name}" if ref.name else "",
        )
        task = self._tasks.start(view.follow(), name=f"node {ref}")
        followed = self._followed[ref] = _Followed(view, task)
        return followed

    def _read(self, ref: Ref) -> Any | None:
        followed = self._followed.get(ref)
        return None if followed is None else followed.view.get(ref)

    def _bundles(self) -> Iterable[ClusterTrustBundle]:
        followed = self._followed.get(CLUSTERTRUSTBUNDLE.ref("", ""))
        return () if followed is None else followed.view.list()


def names_of(pod: Pod) -> set[Name]:
    """Returns what the volumes, variables and pull secrets of a pod name: pure."""
    found: set[Name] = {("secret", it.name) for it in pod.spec.image_pull_secrets if it.name}
    for container in all_containers(pod):
        for source in container.env_from:
            if source.config_map_ref is not None:
                found.add(("configmap", source.config_map_ref.name))
            if source.secret_ref is not None:
                found.add(("secret", source.secret_ref.name))
        for variable in container.env:
            if (origin := variable.value_from) is None:
                continue
            if origin.config_map_key_ref is not None:
                found.add(("configmap", origin.config_map_key_ref.name))
            if origin.secret_key_ref is not None:
                found.add(("secret", origin.secret_key_ref.name))
    for volume in pod.spec.volumes:
        if volume.config_map is not None:
            found.add(("configmap", volume.config_map.name))
        if volume.secret is not None:
            found.add(("secret", volume.secret.secret_name))
        for projection in volume.projections:
            if projection.config_map is not None:
                found.add(("configmap", projection.config_map.name))
            if projection.secret is not None:
                found.add(("secret", projection.secret.name))
            if projection.cluster_trust_bundle is not None:
                found.add(ALL_BUNDLES)
    return found
