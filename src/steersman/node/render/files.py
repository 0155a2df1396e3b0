"""The files that every container of a pod finds: hosts, hostname, resolv.conf. Rendered purely.

Follows the kubelet's managedHostsFileContent and the CRI's DNS configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from steersman.model.kinds.pod import Pod

HOSTNAME_LENGTH = 63  # a label of DNS, and Linux' limit
MAX_NAMESERVERS = 3  # what resolvers read (validation.MaxDNSNameservers)
_HOSTS = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
_ALIASES = "\n# Entries added by HostAliases.\n"


class Resolution(msgspec.Struct, frozen=True):
    """How names are resolved: the cluster's DNS server and domain, and the host's own file."""

    server: str
    domain: str
    host: str


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


def render_resolution(pod: Pod, resolution: Resolution) -> str:
    """Returns /etc/resolv.conf by the pod's DNS policy."""
    servers, searches, options = _by_policy(pod, resolution)
    config = pod.spec.dns_config
    if config is not None:
        servers += [it for it in config.nameservers if it not in servers]
        searches += [it for it in config.searches if it not in searches]
        for option in config.options:
            options.pop(option.name, None)
            options[option.name] = option.value or ""
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {it}" for it in servers[:MAX_NAMESERVERS]]
    if options:
        lines.append("options " + " ".join(f"{k}:{v}" if v else k for k, v in options.items()))
    return "\n".join([*lines, ""])


def _by_policy(pod: Pod, resolution: Resolution) -> tuple[list[str], list[str], dict[str, str]]:
    policy = pod.spec.dns_policy
    servers, searches, options = parse_resolution(resolution.host)
    if policy == "None":
        return [], [], {}
    if policy == "Default" or (policy == "ClusterFirst" and pod.spec.host_network):
        return servers, searches, options
    domain = resolution.domain
    own = [f"{pod.metadata.namespace}.svc.{domain}", f"svc.{domain}", domain]
    return [resolution.server], [*own, *searches], {"ndots": "5"}


def parse_resolution(text: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Reads a resolv.conf(5)."""
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = [word for word in words[1:] if word != "."]
        elif words[0] == "options":
            for word in words[1:]:
                name, _, value = word.partition(":")
                options[name] = value
    return servers, searches, options


def write_all(pod: Pod, directory: Path, addresses: Sequence[str], resolution: Resolution) -> None:
    """Writes the files of a pod."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    if pod.spec.host_network:
        hosts = Path("/etc/hosts").read_text() + render_aliases(pod)
        name = Path("/proc/sys/kernel/hostname").read_text()
    else:
        hosts = render_hosts(pod, addresses, resolution.domain)
        name = hostname(pod) + "\n"
    (directory / "hosts").write_text(hosts)
    (directory / "hostname").write_text(name)
    (directory / "resolv.conf").write_text(render_resolution(pod, resolution))
