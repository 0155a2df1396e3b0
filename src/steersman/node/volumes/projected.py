"""projected: several sources in one directory. Pure, with tokens and certificates given."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model.kinds.pod import Pod
from steersman.model.types.volume import (
    PodCertificateProjection,
    ProjectedVolume,
    VolumeProjection,
)
from steersman.node.credentials.certificates import Credentials
from steersman.node.objects import BadConfiguration, Objects
from steersman.node.render.downward import Machine
from steersman.node.volumes import config_map, downward_api, secret, trust_bundle
from steersman.node.volumes.tree import File, check_path

# Where it is known who reads what is secret, nobody else does
_PRIVATE_MODE = 0o600


def render(
    pod: Pod,
    volume: ProjectedVolume,
    objects: Objects,
    machine: Machine,
    tokens: Mapping[str, str],
    certificates: Mapping[int, Credentials],
) -> dict[str, File]:
    """Returns the files; `tokens` by path, `certificates` by the number of their source. Raises
    BadConfiguration."""
    files: dict[str, File] = {}
    for number, source in enumerate(volume.sources):
        if source.pod_certificate is not None:
            texts = _certificate(source.pod_certificate, certificates[number])
            files |= {it: _private(pod, text, volume.default_mode) for it, text in texts.items()}
        else:
            files |= _source(pod, source, volume.default_mode, objects, machine, tokens)
    return files


def _certificate(source: PodCertificateProjection, given: Credentials) -> dict[str, bytes]:
    texts = {
        source.credential_bundle_path: given.key + given.chain,
        source.key_path: given.key,
        source.certificate_chain_path: given.chain,
    }
    return {check_path(path): text.encode() for path, text in texts.items() if path}


def _source(
    pod: Pod,
    source: VolumeProjection,
    mode: int,
    objects: Objects,
    machine: Machine,
    tokens: Mapping[str, str],
) -> dict[str, File]:
    if source.config_map is not None:
        return config_map.render(source.config_map, objects, mode)
    if (one := source.secret) is not None:
        return secret.render(one.name, one.items, one.optional, objects, mode)
    if source.downward_api is not None:
        return downward_api.render(pod, source.downward_api.items, mode, machine)
    if source.service_account_token is not None:
        path = check_path(source.service_account_token.path)
        return {path: _private(pod, tokens[path].encode(), mode)}
    if (anchors := source.cluster_trust_bundle) is not None:
        content = trust_bundle.render(anchors, objects.trust_bundles())
        return {check_path(anchors.path): _private(pod, content, mode)}
    raise BadConfiguration("this source of a projected volume is not supported")


def _private(pod: Pod, content: bytes, mode: int) -> File:
    """Returns a file for the user of all containers or, by the mode that `tree` gives it then, for
    the group of the volumes; for everybody where there is neither (projected.go)."""
    owner, group = user_of(pod), pod.spec.security_context.fs_group
    return File(content, mode if owner is None and group is None else _PRIVATE_MODE, owner)


def user_of(pod: Pod) -> int | None:
    """Returns whom all containers run as, None where that is not said or not one (FsUserFrom)."""
    shared = pod.spec.security_context.run_as_user
    own = (it.security_context for it in pod.spec.init_containers + pod.spec.containers)
    users = {shared if it is None or it.run_as_user is None else it.run_as_user for it in own}
    return users.pop() if len(users) == 1 else None
