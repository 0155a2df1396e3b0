"""From the bytes of a manifest to a static pod: pure, with the API's own defaults and checks.

Follows kubelet's config/common.go. What is wrong is told with the file and the line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from steersman.model.decode import admit
from steersman.model.errors import BadRequest
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.node.static import marks
from steersman.wire import yaml

MAX_BYTES = 10 << 20  # kubelet's maxConfigLength
_TOLERATION = {"operator": "Exists", "effect": "NoExecute"}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_UID = re.compile(r"[A-Za-z0-9-]{1,63}", re.ASCII)
_YAML_LINE = re.compile(r"^yaml: line (\d+): ")
# What a pod must not name that runs without the API (podutil.HasAPIObjectReference)
_NAMED = {
    "secretKeyRef": "secrets",
    "secretRef": "secrets",
    "configMapKeyRef": "configmaps",
    "configMapRef": "configmaps",
}
_VOLUMES = {
    "configMap": "configmaps (via configmap volumes)",
    "secret": "secrets (via secret volumes)",
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
    "azureFile": "secrets (via azureFile volumes)",
}
_PROJECTED = {
    "configMap": "configmaps (via projected volumes)",
    "secret": "secrets (via projected volumes)",
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}


class BadManifest(Exception):
    """A file is no pod that can run; the text begins with its path, and the line where known."""


class Static(msgspec.Struct, frozen=True):
    """A static pod: as it is written to its mirror, and as the node reads it."""

    document: Document
    pod: Pod

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name, which the mirror has too."""
        return self.pod.metadata.namespace, self.pod.metadata.name


def parse_manifest(data: bytes, path: Path, node: str, seen: str) -> Static:
    """Returns the pod of a file, first seen at a time (RFC 3339); raises BadManifest."""
    document = _load(data, str(path))
    _demand_pod(document, data, str(path), "")
    return _parse(document, _Place(data, str(path), node, marks.FILE), seen)


def parse_manifests(data: bytes, url: str, node: str, seen: str, source: str) -> list[Static]:
    """Returns the pods of what a URL gave: one, or a list of them; raises BadManifest."""
    document = _load(data, url)
    kind = (document.get("apiVersion"), document.get("kind"))
    if kind not in (("v1", "PodList"), ("v1", "List")):
        _demand_pod(document, data, url, "")
        return [_parse(document, _Place(data, url, node, source), seen)]
    found = []
    for number, item in enumerate(document.get("items") or ()):
        place = _Place(data, url, node, source, f"items[{number}].")
        one = {"apiVersion": "v1", "kind": "Pod", **item} if isinstance(item, dict) else {}
        _demand_pod(one, data, url, place.prefix)
        found.append(_parse(one, place, seen))
    return found


class _Place(NamedTuple):
    """What a pod was read from: the whole of it, where that is, and where the pod is in it."""

    data: bytes
    name: str
    node: str
    source: str
    prefix: str = ""

    def line(self, field: str) -> str:
        """Returns where a field of the pod is."""
        return f"{self.name}:{find_line(self.data, self.prefix + field)}"


def _parse(document: Document, place: _Place, seen: str) -> Static:
    try:
        document = admit("io.k8s.api.core.v1.Pod", document, "Pod", "v1").document
    except BadRequest as error:
        raise BadManifest(f"{place.name}: couldn't parse as pod({error})") from None
    document = POD.prepare(_completed(document, place), None, "")
    for cause in POD.check(document, None, ""):
        where = place.line(cause.field)
        raise BadManifest(f"{where}: invalid pod: {place.prefix}{cause.field}: {cause.message}")
    if (named := _reference(document["spec"])) is not None:
        where, what = named
        raise BadManifest(f"{place.line(where)}: static pods may not reference {what}")
    document["metadata"]["annotations"][marks.SEEN] = seen
    return Static(document, msgspec.json.decode(msgspec.json.encode(document), type=Pod))


def _load(data: bytes, place: str) -> Document:
    """Returns the document of a file, or of what a URL gave."""
    if len(data) > MAX_BYTES:
        raise BadManifest(f"{place}: the file has more than {MAX_BYTES} bytes")
    try:
        found = yaml.load(data)
    except yaml.BadYAML as error:
        text = str(error)
        line = match[1] if (match := _YAML_LINE.match(text)) else "1"
        raise BadManifest(f"{place}:{line}: {text}") from None
    return found if isinstance(found, dict) else {}


def _demand_pod(document: Document, data: bytes, place: str, prefix: str) -> None:
    if (document.get("apiVersion"), document.get("kind")) != ("v1", "Pod"):
        line = find_line(data, f"{prefix}kind")
        raise BadManifest(f"{place}:{line}: couldn't parse as pod: it is not of v1, kind Pod")


def _completed(document: Document, place: _Place) -> Document:
    """Returns the pod with what the node adds (applyDefaults)."""
    metadata: Document = dict(document.get("metadata") or {})
    if not metadata.get("name"):
        raise BadManifest(f"{place.line('metadata')}: invalid pod: name is needed for the pod")
    uid = metadata.get("uid") or _hash(document, place)
    if not _UID.fullmatch(uid):  # it becomes a part of paths
        text = f"invalid pod: metadata.uid: {uid!r} is no identifier"
        raise BadManifest(f"{place.line('metadata.uid')}: {text}")
    named = {"name": f"{metadata['name']}-{place.node.lower()}", "uid": uid}
    namespace = metadata.get("namespace") or "default"
    noted = {
        **(metadata.get("annotations") or {}),
        marks.HASH: uid,
        marks.SOURCE: place.source,
    }
    noted.pop(marks.MIRROR, None)
    metadata.pop("resourceVersion", None)  # by which pods of the API are known
    spec = {**document["spec"], "nodeName": place.node}
    tolerations = spec.get("tolerations") or []
    spec["tolerations"] = [*(it for it in tolerations if it != _TOLERATION), _TOLERATION]
    metadata = {**metadata, **named, "namespace": namespace, "annotations": noted}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _hash(document: Document, place: _Place) -> str:
    """Returns what tells this content of this file or URL on this node from any other."""
    where = f"file:{place.name}" if place.source == marks.FILE else f"url:{place.name}"
    hasher = hashlib.md5(f"host:{place.node}{where}".encode(), usedforsecurity=False)
    hasher.update(msgspec.json.encode(document, order="sorted"))
    return hasher.hexdigest()


def _reference(spec: Document) -> tuple[str, str] | None:
    """Returns where a pod names an object of the API, and in upstream's words of which kind."""
    if spec.get("serviceAccountName"):
        return "spec.serviceAccountName", "serviceaccounts"
    if spec.get("imagePullSecrets"):
        return "spec.imagePullSecrets", "secrets"
    named = list(_variables(spec))
    for kind in ("secrets", "configmaps"):
        if (where := next((path for path, it in named if it == kind), None)) is not None:
            return where, kind
    if spec.get("resourceClaims"):
        return "spec.resourceClaims", "resourceclaims"
    return next(_of_volumes(spec), None)


def _variables(spec: Document) -> Iterator[tuple[str, str]]:
    for section in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(section) or ()):
            for path, source in _sources(container):
                for name in source.keys() & _NAMED.keys():
                    yield f"spec.{section}[{index}].{path}.{name}", _NAMED[name]


def _sources(container: Document) -> Iterator[tuple[str, Document]]:
    """Yields where variables of a container come from."""
    for index, variable in enumerate(container.get("env") or ()):
        yield f"env[{index}].valueFrom", variable.get("valueFrom") or {}
    for index, source in enumerate(container.get("envFrom") or ()):
        yield f"envFrom[{index}]", source


def _of_volumes(spec: Document) -> Iterator[tuple[str, str]]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        where = f"spec.volumes[{index}]"
        for kind in volume:
            if kind in _VOLUMES:
                yield f"{where}.{kind}", _VOLUMES[kind]
        sources = (volume.get("projected") or {}).get("sources") or ()
        for position, source in enumerate(sources):
            for kind in source:
                if kind in _PROJECTED:
                    yield f"{where}.projected.sources[{position}].{kind}", _PROJECTED[kind]


def find_line(data: bytes, field: str) -> int:
    """Returns the line of a field (`spec.containers[0].image`) in a document that could be read;
    that of the deepest part that is there, 1 for none."""
    import yaml as pyyaml

    node: Any = next(pyyaml.compose_all(data.decode(), Loader=pyyaml.SafeLoader), None)
    line = 1
    for name, index in _STEP.findall(field) if node is not None else ():
        key, node = _child(node, name, index)
        if key is None:
            break
        line = key.start_mark.line + 1
    return line


def _child(node: Any, name: str, index: str) -> tuple[Any, Any]:
    """Returns what shows where a part of a node is, and the part; None for neither."""
    if index and node.id == "sequence" and int(index) < len(node.value):
        return node.value[int(index)], node.value[int(index)]
    if name and node.id == "mapping":
        return next(((k, v) for k, v in node.value if k.value == name), (None, None))
    return None, None
