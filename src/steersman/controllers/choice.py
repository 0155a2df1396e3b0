"""Which controllers of a cluster run, by upstream's names, and with which of upstream's options.

A table and a rule (IsControllerEnabled in cloud-provider's app). Loaded by the command line, so
that it names controllers without loading them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

# --cluster-signing-duration, upstream's default
SIGNING_SECONDS: Final = 365 * 24 * 3600
ALL: Final = "*"

# All controllers, by upstream's names; those of our own come last
KNOWN: Final = (
    "bootstrap-signer-controller",
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "device-taint-eviction-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "ephemeral-volume-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "namespace-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "podcertificaterequest-cleaner-controller",
    "replicaset-controller",
    "replicationcontroller-controller",
    "resourceclaim-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "service-cidr-controller",
    "service-lb-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "storage-version-migrator-controller",
    "taint-eviction-controller",
    "token-cleaner-controller",
    "ttl-after-finished-controller",
    "ttl-controller",
    "volumeattributesclass-protection-controller",
    "local-path-provisioner",
    "csi-attacher",
    "csi-provisioner",
    "csi-resizer",
    "csi-snapshotter",
    "podgroup-controller",
)
# Who makes the account without which no pod can be created
ACCOUNTS: Final = "serviceaccount-controller"
OFF_BY_DEFAULT: Final = frozenset(("bootstrap-signer-controller", "token-cleaner-controller"))
# As kubeadm has it: bootstrap tokens let machines in, and are of use with both of these
DEFAULT: Final = "*,bootstrap-signer-controller,token-cleaner-controller"

# A controller's own name, that of its account, where upstream calls it otherwise
_CALLED: Final[Mapping[str, str]] = {
    "attachdetach-controller": "persistentvolume-attach-detach-controller",
    "daemon-set-controller": "daemonset-controller",
    "endpoint-controller": "endpoints-controller",
    "endpointslicemirroring-controller": "endpointslice-mirroring-controller",
    "expand-controller": "persistentvolume-expander-controller",
    "generic-garbage-collector": "garbage-collector-controller",
    "horizontal-pod-autoscaler": "horizontal-pod-autoscaler-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher": (
        "kube-apiserver-serving-clustertrustbundle-publisher-controller"
    ),
    "node-controller": "node-lifecycle-controller",
    "persistent-volume-binder": "persistentvolume-binder-controller",
    "pod-garbage-collector": "pod-garbage-collector-controller",
    "podcertificaterequestcleaner-controller": "podcertificaterequest-cleaner-controller",
    "pv-protection-controller": "persistentvolume-protection-controller",
    "pvc-protection-controller": "persistentvolumeclaim-protection-controller",
    "replication-controller": "replicationcontroller-controller",
    "resource-claim-controller": "resourceclaim-controller",
    "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
    "service-account-controller": "serviceaccount-controller",
    "service-controller": "service-lb-controller",
}
# Names that upstream had before 1.28 and takes still
ALIASES: Final[Mapping[str, str]] = {
    "attachdetach": "persistentvolume-attach-detach-controller",
    "bootstrapsigner": "bootstrap-signer-controller",
    "clusterrole-aggregation": "clusterrole-aggregation-controller",
    "cronjob": "cronjob-controller",
    "csrapproving": "certificatesigningrequest-approving-controller",
    "csrcleaner": "certificatesigningrequest-cleaner-controller",
    "csrsigning": "certificatesigningrequest-signing-controller",
    "daemonset": "daemonset-controller",
    "deployment": "deployment-controller",
    "disruption": "disruption-controller",
    "endpoint": "endpoints-controller",
    "endpointslice": "endpointslice-controller",
    "endpointslicemirroring": "endpointslice-mirroring-controller",
    "ephemeral-volume": "ephemeral-volume-controller",
    "garbagecollector": "garbage-collector-controller",
    "horizontalpodautoscaling": "horizontal-pod-autoscaler-controller",
    "job": "job-controller",
    "legacy-service-account-token-cleaner": "legacy-serviceaccount-token-cleaner-controller",
    "namespace": "namespace-controller",
    "nodeipam": "node-ipam-controller",
    "nodelifecycle": "node-lifecycle-controller",
    "persistentvolume-binder": "persistentvolume-binder-controller",
    "persistentvolume-expander": "persistentvolume-expander-controller",
    "podgc": "pod-garbage-collector-controller",
    "pv-protection": "persistentvolume-protection-controller",
    "pvc-protection": "persistentvolumeclaim-protection-controller",
    "replicaset": "replicaset-controller",
    "replicationcontroller": "replicationcontroller-controller",
    "resourcequota": "resourcequota-controller",
    "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
    "service": "service-lb-controller",
    "serviceaccount": "serviceaccount-controller",
    "statefulset": "statefulset-controller",
    "tokencleaner": "token-cleaner-controller",
    "ttl": "ttl-controller",
    "ttl-after-finished": "ttl-after-finished-controller",
}


def parse(text: str) -> tuple[str, ...]:
    """Returns what a list says: `*`, names, and names to be left out with `-` before them.

    Raises ValueError for a name that no controller has.
    """
    found = []
    for word in text.split(","):
        left_out = word.startswith("-")
        name = word.removeprefix("-")
        name = ALIASES.get(name, name)
        if word != ALL and name not in KNOWN:
            raise ValueError(f'"{word.removeprefix("-")}" is not in the list of known controllers')
        found.append(f"-{name}" if left_out else name)
    return tuple(found)


def called(name: str) -> str:
    """Returns upstream's name of a controller by its own."""
    return _CALLED.get(name, name)


def is_enabled(name: str, selection: Iterable[str]) -> bool:
    """Says whether a controller runs, by upstream's name: the first word about it counts."""
    everything = False
    for word in selection:
        if word == name:
            return True
        if word == f"-{name}":
            return False
        everything = everything or word == ALL
    return everything and name not in OFF_BY_DEFAULT


class PodRange(msgspec.Struct, frozen=True):
    """A range of pods' addresses, of which each node gets a piece with so many bits in its mask."""

    range: str
    mask: int


class Choice(msgspec.Struct, frozen=True):
    """What somebody chose: the controllers (`parse`), for how long certificates are signed, and
    from which ranges nodes get pieces for their pods (none: they get none)."""

    selection: tuple[str, ...] = parse(DEFAULT)
    signing_seconds: int = SIGNING_SECONDS
    pods: tuple[PodRange, ...] = ()

    def has(self, name: str) -> bool:
        """Says whether a controller runs, by upstream's name."""
        return is_enabled(name, self.selection)
