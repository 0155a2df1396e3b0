"""Certificates and kubeconfigs of a cluster, made by the supervisor before anything needs them."""

from __future__ import annotations

import os
import socket
import time
from ipaddress import ip_network
from pathlib import Path

from steersman.cli.directory import Directory, Identity
from steersman.listen import certificates
from steersman.listen.certificates import ADMIN, KUBELET_CLIENT, PROXY, Certificates


def node_name() -> str:
    """Returns the name of this machine's node: its host name, as a DNS label can be."""
    return socket.gethostname().lower().rstrip(".")


def certify(directory: Directory, identity: Identity) -> Certificates:
    """Makes what is missing and renews what is old."""
    ranges = (identity.service_cidr, identity.pod_cidr)
    names = (node_name(), *(str(ip_network(text)[1]) for text in ranges))
    node = certificates.node(node_name())
    return certificates.ensure(
        directory.certificates, names, time.time(), (ADMIN, KUBELET_CLIENT, PROXY, node)
    )


def render_kubeconfig(files: Certificates, identity: Identity) -> str:
    """Returns a kubeconfig of the cluster's administrator."""
    from steersman.client import kubeconfig

    return kubeconfig.write(
        name=f"steer-{identity.id}",
        server=f"https://127.0.0.1:{identity.port}",
        authority=files.ca.read_bytes(),
        certificate=files.certificate(ADMIN.file).read_bytes(),
        key=files.key(ADMIN.file).read_bytes(),
    )


def write_kubeconfig(files: Certificates, identity: Identity, path: Path) -> None:
    """Writes the administrator's kubeconfig, readable by its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    # Where others may write, one of them could have put a file or a link of theirs under this name
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(render_kubeconfig(files, identity))
    partial.replace(path)
