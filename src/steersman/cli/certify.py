"""Certificates and kubeconfigs of a cluster, made by the supervisor before anything needs them."""

from __future__ import annotations

import os
import socket
import time
from ipaddress import ip_network
from pathlib import Path

from steersman.api.listen import certificates
from steersman.cli.directory import Directory, Identity


def service_address(identity: Identity) -> str:
    """Returns the address of the `kubernetes` Service: the first of the range."""
    return str(ip_network(identity.service_cidr)[1])


def certify(directory: Directory, identity: Identity, kubeconfig: Path) -> Path:
    """Makes what is missing, renews what is old, writes the kubeconfig; returns its path."""
    names = certificates.Names(
        node=socket.gethostname().lower(), addresses=(service_address(identity),)
    )
    certificates.ensure(directory.certificates, names, time.time())
    write_kubeconfig(directory, identity, kubeconfig)
    return kubeconfig


def write_kubeconfig(directory: Directory, identity: Identity, path: Path) -> None:
    """Writes a kubeconfig of the cluster's administrator, readable by its owner alone."""
    from steersman.client import kubeconfig

    read = directory.certificates.joinpath
    text = kubeconfig.write(
        name=f"steer-{identity.id}",
        server=f"https://127.0.0.1:{identity.port}",
        authority=read("ca.crt").read_bytes(),
        certificate=read("admin.crt").read_bytes(),
        key=read("admin.key").read_bytes(),
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
