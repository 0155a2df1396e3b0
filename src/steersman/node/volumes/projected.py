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

# A token is for its owner alone, unless a group is given the volume
TOKEN_MODE = 0o600
SHARED_TOKEN_MODE = 0o644


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
            files |= _certificate(source.pod_certificate, certificates[number], token_mode(pod))
        else:
            files |= _source(pod, source, volume.default_mode, objects, machine, tokens)
    return files


def _certificate(
    source: PodCertificateProjection, given: Credentials, mode: int
) -> dict[str, File]:
    texts = {
        source.credential_bundle_path: given.key + given.chain,
        source.key_path: given.key,
        source.certificate_chain_path: given.chain,
    }
    return {check_path(path): File(text.encode(), mode) for path, text in texts.items() if path}


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
        return {path: File(tokens[path].encode(), token_mode(pod))}
    if (anchors := source.cluster_trust_bundle) is not None:
        content = trust_bundle.render(anchors, objects.trust_bundles())
        return {check_path(anchors.path): File(content, token_mode(pod, mode))}
    raise BadConfiguration("this source of a projected volume is not supported")


def token_mode(pod: Pod, shared: int = SHARED_TOKEN_MODE) -> int:
    """Returns the mode of a token: narrow where all containers run as its owner (root here)."""
    users = {pod.spec.security_context.run_as_user}
    for container in pod.spec.init_containers + pod.spec.containers:
        own = container.security_context
        users.add(own.run_as_user if own is not None else None)
    # The owner is root: who runs as somebody else, perhaps by the image, has to read it too
    return TOKEN_MODE if users == {0} else shared
