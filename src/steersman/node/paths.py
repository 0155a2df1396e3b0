"""Where a node keeps what: pure paths under its directory.
pods/UID/record.json         what is observed of the pod; userns: its ids on this machine
pods/UID/etc/                hosts, hostname, resolv.conf
pods/UID/volumes/NAME/       a volume
pods/UID/containers/NAME/N   the termination message of run N
logs/NS_POD_UID/NAME/N.log   the log of run N (CRI format)
local-path/NAME/             a volume that is a directory of this node
runtime/                     the runtime's state, or runtime-endpoint: whose socket takes its place
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from steersman.node.observed import Observed

RECORD = "record.json"


class Paths(msgspec.Struct, frozen=True):
    """The directories of one node."""

    root: Path

    @property
    def pods(self) -> Path:
        """The directories of all pods."""
        return self.root / "pods"

    @property
    def logs(self) -> Path:
        """The logs of all pods."""
        return self.root / "logs"

    @property
    def local_volumes(self) -> Path:
        """The directories that are volumes; they outlive pods, agent and cluster's process."""
        return self.root / "local-path"

    @property
    def runtime(self) -> Path:
        """The runtime's state directory."""
        return self.root / "runtime"

    @property
    def endpoint(self) -> Path:
        """Where the socket of a container runtime stands that is the node's engine."""
        return self.root / "runtime-endpoint"

    @property
    def pulls(self) -> Path:
        """By whom images were pulled."""
        return self.root / "pulls.json"

    @property
    def seccomp(self) -> Path:
        """The local seccomp profiles, where somebody puts some."""
        return self.root / "seccomp"

    @property
    def logins(self) -> Path:
        """The node's own logins, in the form of Docker's config.json."""
        return self.root / "config.json"

    def pod(self, uid: str) -> Path:
        """What belongs to one pod."""
        return self.pods / uid

    def volume(self, uid: str, name: str) -> Path:
        """One volume of a pod."""
        return self.pod(uid) / "volumes" / name

    def subpaths(self, uid: str) -> Path:
        """Where subPaths of volumes are bound for a container runtime; the kubelet's name."""
        return self.pod(uid) / "volume-subpaths"

    def users(self, uid: str) -> Path:
        """The ids of a pod that has users of its own; the kubelet's name and form."""
        return self.pod(uid) / "userns"

    def etc(self, uid: str) -> Path:
        """The files that the node writes into every container of a pod."""
        return self.pod(uid) / "etc"

    def termination_log(self, uid: str, container: str, attempt: int) -> Path:
        """What a container says before it ends."""
        return self.pod(uid) / "containers" / container / str(attempt)

    def pod_logs(self, namespace: str, name: str, uid: str) -> Path:
        """The logs of one pod."""
        return self.logs / f"{namespace}_{name}_{uid}"

    def log(self, seen: Observed, container: str, attempt: int) -> Path:
        """The log of one run."""
        logs = self.pod_logs(seen.namespace, seen.name, seen.uid)
        return logs / container / f"{attempt}.log"
