"""Certificates and kubeconfigs of a cluster, made by the supervisor before anything needs them."""

from __future__ import annotations

import base64
import os
import socket
import time
from ipaddress import ip_network
from pathlib import Path

from steersman.cli.directory import Directory, Identity
from steersman.listen import certificates
from steersman.listen.certificates import ADMIN, KUBELET_CLIENT, Certificates

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: {name}
clusters:
- name: {name}
  cluster:
    server: {server}
    certificate-authority-data: {authority}
contexts:
- name: {name}
  context:
    cluster: {name}
    user: {name}-admin
users:
- name: {name}-admin
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"""


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def node_name() -> str:
    """Returns the name of this machine's node: its host name, as a DNS label can be."""
    return socket.gethostname().lower().rstrip(".")


def certify(directory: Directory, identity: Identity) -> Certificates:
    """Makes what is missing and renews what is old."""
    ranges = (identity.service_cidr, identity.pod_cidr)
    names = (node_name(), *(str(ip_network(text)[1]) for text in ranges))
    node = certificates.node(node_name())
    return certificates.ensure(
        directory.certificates, names, time.time(), (ADMIN, KUBELET_CLIENT, node)
    )


def write_kubeconfig(files: Certificates, identity: Identity, path: Path) -> None:
    """Writes a kubeconfig of the cluster's administrator, readable by its owner alone."""
    name = f"steer-{identity.id}"
    text = KUBECONFIG.format(
        name=name,
        server=f"https://127.0.0.1:{identity.port}",
        authority=_base64(files.ca),
        certificate=_base64(files.certificate(ADMIN.file)),
        key=_base64(files.key(ADMIN.file)),
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
