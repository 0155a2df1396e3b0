"""The kinds that upstream has switched off by default: one line each, "schema only".

A line: group, plural, kind, scope (N or C), versions (storage version first), definition prefix,
options. Options: `short=a,b`; `category=`; `gen=`, the fields whose change raises the generation;
`status`, a status subresource that may also write metadata; `status!`, one that may not; `scale`;
`upsert`, an update creates; `conditional`, an update names its revision; `returned`, a deletion
answers with the object.
"""

from __future__ import annotations

from steersman.model.kind import Kind, Subresource, Version
from steersman.model.kinds import table_columns
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.subresources import SCALE, STATUS, STATUS_ALONE
from steersman.model.types.metadata import checked

_API = "io.k8s.api."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions."
_AGGREGATOR = "io.k8s.kube-aggregator.pkg.apis.apiregistration."

# Kinds that upstream has switched off by default: no stable version (KEP-3136)
_UNSTABLE = """
coordination.k8s.io leasecandidates LeaseCandidate N v1beta1,v1alpha2 coordination
internal.apiserver.k8s.io storageversions StorageVersion C v1alpha1 apiserverinternal status
lifecycle.k8s.io evictions Eviction N v1alpha1 lifecycle gen=spec status
lifecycle.k8s.io evictionrequests EvictionRequest N v1alpha1 lifecycle gen=spec status
resource.k8s.io resourcepoolstatusrequests ResourcePoolStatusRequest C v1alpha3 resource status
scheduling.k8s.io compositepodgroups CompositePodGroup N v1alpha3 scheduling gen=spec status
scheduling.k8s.io podgroups PodGroup N v1beta1,v1alpha3 scheduling gen=spec status
scheduling.k8s.io workloads Workload N v1beta1,v1alpha3 scheduling gen=spec
"""


def unstable() -> tuple[Kind, ...]:
    """Returns the kinds that are served on demand only."""
    return tuple(_kind(line) for line in _UNSTABLE.strip().splitlines())


def _kind(line: str) -> Kind:
    group, plural, name, scope, versions, package, *rest = line.split()
    options = dict(part.partition("=")[::2] for part in rest)
    has_status = "status" in options or "status!" in options
    generation = tuple(filter(None, options.get("gen", "").split(",")))
    return Kind(
        group="" if group == "core" else group,
        name=name,
        plural=plural,
        namespaced=scope == "N",
        versions=tuple(
            Version(version, _definition(package, version, name)) for version in versions.split(",")
        ),
        storage=versions.split(",")[0],
        short_names=tuple(filter(None, options.get("short", "").split(","))),
        categories=tuple(filter(None, options.get("category", "").split(","))),
        prepare=preparer(status={} if has_status else None),
        check=checked(namespaced=scope == "N"),
        columns=table_columns.COLUMNS.get(plural, ()),
        subresources=_subresources(options),
        spec_fields=generation,
        create_on_update="upsert" in options,
        conditional="conditional" in options,
        returns_deleted="returned" in options,
    )


def _definition(package: str, version: str, name: str) -> str:
    if package == "apiextensions":
        return f"{_EXTENSIONS}{version}.{name}"
    if package == "apiregistration":
        return f"{_AGGREGATOR}{version}.{name}"
    return f"{_API}{package}.{version}.{name}"


def _subresources(options: dict[str, str]) -> tuple[Subresource, ...]:
    found = [SCALE] if "scale" in options else []
    if "status" in options:
        found.append(STATUS)
    if "status!" in options:
        found.append(STATUS_ALONE)
    return tuple(found)
