"""Discovery: which groups, versions and resources are served, in the old form and the aggregated
one (KEP-3352), and the server's version.

Documents are made on first use and kept until the kinds change.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence

import orjson

from steersman.api.published.foreign import Foreign, Foreigners, Nobody
from steersman.api.published.negotiate import JSON, Form, Published, choose, publish, respond
from steersman.api.published.order import sorted_groups, sorted_versions
from steersman.api.published.resources import aggregated, entries
from steersman.model.errors import not_allowed
from steersman.model.figures import Family, Sample
from steersman.model.kind import Document, Kind
from steersman.model.pack import NUMBER
from steersman.wire.media import PROTOBUF, YAML, encoded
from steersman.wire.message import Request, Response, User

_GROUP = "apidiscovery.k8s.io"
_LIST = "APIGroupDiscoveryList"
Served = dict[str, dict[str, list[Kind]]]
Groups = dict[str, Mapping[str, list[Kind] | Foreign]]
_MEDIA = (JSON, YAML, PROTOBUF)
PLAIN = Form(JSON, {})
_PLAIN = tuple(Form(media, {}) for media in _MEDIA)
AGGREGATED = tuple(
    Form(media, {"g": _GROUP, "v": version, "as": _LIST})
    for media in _MEDIA
    for version in ("v2", "v2beta1")
)
VERSION = "/version"
# The minor that gave up v2beta1 of the aggregated form (AggregatedDiscoveryRemoveBetaType)
_WITHOUT_BETA = 33
_VARY = {"vary": "Accept"}
# The minor whose /version first spoke of emulation (KEP-4330)
_EMULATION = 33
_OF_EMULATION = (
    "emulationMajor",
    "emulationMinor",
    "minCompatibilityMajor",
    "minCompatibilityMinor",
)
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


# what only reads; of other methods upstream's router refuses some and its plain handlers none
READING = ("GET", "HEAD")


def _is_route(path: str) -> bool:
    """Tells whether a path is one of upstream's router: the list of groups, and what is said of
    one of them, are not."""
    parts = path.split("/")[1:]
    return parts[0] != "apis" or len(parts) == 3


class Discovery:
    """Answers below /api and /apis, and /version.

    `kinds` gives all kinds served now; `changed()` must follow every change of them. `address` is
    how clients reach the server (host:port).
    """

    def __init__(
        self,
        kinds: Callable[[], Iterable[Kind]],
        address: str = "",
        foreigners: Foreigners | None = None,
        minor: int = NUMBER,
    ) -> None:
        self._kinds = kinds
        self._minor = minor
        self._foreigners = foreigners or Nobody()
        self._address = address
        known = [
            form for form in AGGREGATED if form.parameters["v"] == "v2" or minor < _WITHOUT_BETA
        ]
        self._forms = (*_PLAIN, *known)
        self._published: dict[tuple[str, str], Published] = {}
        self._served: dict[str, dict[str, list[Kind]]] | None = None

    def changed(self) -> None:
        """Forgets all documents."""
        self._published.clear()
        self._served = None

    def handle(self, request: Request, _user: User) -> Response | None:
        """Answers a path, None for one that is not served; raises NotAcceptable and
        MethodNotAllowed."""
        path = request.path.rstrip("/")
        forms = self._forms if path in ("/api", "/apis") else _PLAIN
        accept = request.headers.get("accept", "")
        # upstream writes the version in JSON whatever is asked for
        form = PLAIN if path == VERSION else choose(accept, forms)
        if form in AGGREGATED:
            self._foreigners.refresh()
        key = (path, str(form))
        if (published := self._published.get(key)) is None:
            if (body := self._body(path, form)) is None:
                return None  # not kept: anybody can ask for any path
            published = self._published[key] = publish(body, str(form))
        if request.method not in READING and _is_route(path):
            raise not_allowed()
        return respond(request, published, _VARY)

    def served(self) -> dict[str, dict[str, list[Kind]]]:
        """Returns the kinds by group, then by version, in the order in which they are told."""
        if self._served is None:
            self._served = _arrange(self._kinds())
        return self._served

    def groups(self) -> Iterable[tuple[str, Iterable[str]]]:
        """Returns the names of all groups with their versions, other servers' too."""
        return arrange(self.served(), self._foreigners.told()).items()

    def _body(self, path: str, form: Form) -> bytes | None:
        if path == VERSION:
            return orjson.dumps(version(self._minor), option=orjson.OPT_INDENT_2)
        document = self._document(path, form)
        return None if document is None else _encoded(document, form)

    def _document(self, path: str, form: Form) -> Document | None:
        served = self.served()
        if path == "/api" and form not in AGGREGATED:
            return self._core_versions(served)
        parts = path.split("/")[1:]
        if parts[0] == "api" and len(parts) == 2:
            return _resource_list(served, "", parts[1])
        groups = arrange(served, self._foreigners.told())
        if form in AGGREGATED:
            return _aggregated_list(groups, form.parameters["v"], core=path == "/api")
        if path == "/apis":
            listed = [_group(name, versions) for name, versions in groups.items() if name]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        if parts[0] != "apis" or not parts[1] or parts[1] not in groups:
            return None
        if len(parts) == 2:
            group = _group(parts[1], groups[parts[1]])
            return {"kind": "APIGroup", "apiVersion": "v1", **group}
        return _resource_list(served, parts[1], parts[2]) if len(parts) == 3 else None

    def _core_versions(self, served: dict[str, dict[str, list[Kind]]]) -> Document:
        address = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}
        return {
            "kind": "APIVersions",
            "versions": list(served.get("", {})),
            "serverAddressByClientCIDRs": [address],
        }


def _encoded(document: Document, form: Form) -> bytes:
    if form.media == PROTOBUF and form in AGGREGATED:
        # loaded with the first client that takes it
        from steersman.api.published import discovery_protobuf

        return discovery_protobuf.encode(document)
    body = orjson.dumps(document)
    return body if form.media == JSON else encoded(body, form.media)


def _arrange(kinds: Iterable[Kind]) -> dict[str, dict[str, list[Kind]]]:
    ordered = sorted(kinds, key=lambda kind: kind.plural)
    found: dict[str, dict[str, list[Kind]]] = {}
    for group in sorted_groups(kind.group for kind in ordered):
        members = [kind for kind in ordered if kind.group == group]
        names = sorted_versions(version.name for kind in members for version in kind.versions)
        found[group] = {
            name: [kind for kind in members if kind.version(name) is not None] for name in names
        }
    return found


def _group(name: str, versions: Iterable[str]) -> Document:
    told = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": told, "preferredVersion": told[0]}


def _resource_list(
    served: dict[str, dict[str, list[Kind]]], group: str, version: str
) -> Document | None:
    kinds = served.get(group, {}).get(version)
    if kinds is None:
        return None
    typed = {"kind": "APIResourceList", **({"apiVersion": "v1"} if group else {})}
    resources = [entry for kind in kinds for entry in entries(kind, version)]
    resources.sort(key=lambda entry: str(entry["name"]))
    name = f"{group}/{version}" if group else version
    return {**typed, "groupVersion": name, "resources": resources}


def arrange(served: Served, foreign: Sequence[Foreign]) -> Groups:
    """Returns groups with their versions, those of other servers where their priorities put
    them; what this server serves itself is told of itself."""
    if not foreign:
        return dict(served)
    priorities: dict[str, int] = {}
    theirs: dict[str, dict[str, Foreign]] = {}
    ranks = {name: at for at, name in enumerate(sorted_versions(one.version for one in foreign))}
    for one in sorted(foreign, key=lambda one: (-one.priorities[1], ranks[one.version])):
        priorities[one.group] = max(priorities.get(one.group, 0), one.priorities[0])
        theirs.setdefault(one.group, {})[one.version] = one
    found: Groups = {}
    for group in sorted_groups([*served, *theirs], priorities):
        own, others = served.get(group, {}), theirs.get(group, {})
        names = sorted_versions([*own, *others]) if own else list(others)
        found[group] = {name: own.get(name) or others[name] for name in names}
    return found


def _aggregated_list(groups: Groups, form: str, *, core: bool) -> Document:
    items = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [_aggregated(name, found) for name, found in versions.items()],
        }
        for group, versions in groups.items()
        if core != bool(group)
    ]
    return {"kind": _LIST, "apiVersion": f"{_GROUP}/{form}", "metadata": {}, "items": items}


def _aggregated(name: str, found: list[Kind] | Foreign) -> Document:
    if isinstance(found, Foreign):
        return found.aggregated()
    told = [aggregated(kind, name) for kind in found]
    return {"version": name, "resources": told, "freshness": "Current"}


def version(minor: int) -> Document:
    """Returns the server's version (apimachinery's version.Info)."""
    machine = os.uname().machine
    found = {
        "major": "1",
        "minor": str(minor),
        "emulationMajor": "1",
        "emulationMinor": str(minor),
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": str(minor - 1),
        "gitVersion": f"v1.{minor}.0",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": "cpython",
        "platform": f"{os.uname().sysname.lower()}/{_MACHINES.get(machine, machine)}",
    }
    if minor < _EMULATION:
        return {name: value for name, value in found.items() if name not in _OF_EMULATION}
    return found


def build_info(minor: int) -> Family:
    """Returns the same as a metric (component-base's kubernetes_build_info)."""
    told = version(minor)
    labels = {
        "build_date": told["buildDate"],
        "compiler": told["compiler"],
        "git_commit": told["gitCommit"],
        "git_tree_state": told["gitTreeState"],
        "git_version": told["gitVersion"],
        "go_version": told["goVersion"],
        "major": told["major"],
        "minor": told["minor"],
        "platform": told["platform"],
    }
    text = "A metric with a constant '1' value labeled by what this server is."
    return Family(
        "kubernetes_build_info", text, "gauge", [Sample(tuple(labels.items()), 1)], "ALPHA"
    )
