"""The files that every container of a pod finds: hosts, hostname, resolv.conf. Rendered purely.

Follows the kubelet's managedHostsFileContent; resolv.conf is `resolution`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from steersman.model.kinds.pod import Pod
from steersman.node.objects import BadConfiguration
from steersman.node.render.resolution import Resolution, render_resolution

HOSTNAME_LENGTH = 63  # a label of DNS, and Linux' limit
MAX_KERNEL_NAME = 64  # __NEW_UTS_LEN
_HOSTS = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
_OF_THE_NODE = "# Kubernetes-managed hosts file (host network).\n"
_ALIASES = "\n# Entries added by HostAliases.\n"


def hostname(pod: Pod) -> str:
    """Returns a pod's host name."""
    if pod.spec.hostname_override:
        return pod.spec.hostname_override
    if pod.spec.hostname:
        return pod.spec.hostname
    return pod.metadata.name[:HOSTNAME_LENGTH].rstrip("-.")


def domain_name(pod: Pod, domain: str) -> str:
    """Returns a pod's full name, empty without a subdomain."""
    if not pod.spec.subdomain or pod.spec.hostname_override:
        return ""
    return f"{hostname(pod)}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{domain}"


def kernel_name(pod: Pod, domain: str) -> str:
    """Returns what the kernel tells as a pod's host name, its full one where the pod wants that;
    raises BadConfiguration where that is too long for it."""
    full = domain_name(pod, domain)
    if not pod.spec.set_hostname_as_fqdn or not full:
        return hostname(pod)
    if len(full) > MAX_KERNEL_NAME:
        text = "failed to construct FQDN from pod hostname and cluster domain, FQDN "
        text += f"{full} is too long ({MAX_KERNEL_NAME} characters is the max, {len(full)} "
        raise BadConfiguration(f"{text}characters requested)")
    return full


def render_hosts(pod: Pod, addresses: Sequence[str], domain: str) -> str:
    """Returns /etc/hosts of a pod with a network of its own."""
    names = [name for name in (domain_name(pod, domain), hostname(pod)) if name]
    lines = [f"{address}\t" + "\t".join(names) + "\n" for address in addresses]
    return _HOSTS + "".join(lines) + render_aliases(pod)


def render_aliases(pod: Pod) -> str:
    """Returns the entries that the pod adds."""
    if not pod.spec.host_aliases:
        return ""
    lines = [f"{it.ip}\t" + "\t".join(it.hostnames) + "\n" for it in pod.spec.host_aliases]
    return _ALIASES + "".join(lines)


def write_all(
    pod: Pod, directory: Path, addresses: Sequence[str], resolution: Resolution
) -> Sequence[str]:
    """Writes the files of a pod; returns what people are to be told of them."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    if pod.spec.host_network:
        hosts = _OF_THE_NODE + Path("/etc/hosts").read_text() + render_aliases(pod)
        name = Path("/proc/sys/kernel/hostname").read_text()
    else:
        hosts = render_hosts(pod, addresses, resolution.domain)
        name = kernel_name(pod, resolution.domain) + "\n"
    (directory / "hosts").write_text(hosts)
    (directory / "hostname").write_text(name)
    rendered = render_resolution(pod, resolution)
    (directory / "resolv.conf").write_text(rendered.text)
    return rendered.complaints
