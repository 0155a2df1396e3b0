"""How a pod resolves names: resolv.conf by its DNS policy and DNS config. Rendered purely.

Follows pkg/kubelet/network/dns: what a resolver cannot hold is left out, and told as an event.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from steersman.model.kinds.pod import Pod

# What resolvers read and what a search line may have (core/validation, ExpandedDNSConfig)
MAX_NAMESERVERS = 3
MAX_SEARCH_PATHS = 32
MAX_SEARCH_CHARACTERS = 2048
MAX_SEARCH_PATH_CHARACTERS = 253  # some versions of glibc abort on longer ones
REASON = "DNSConfigForming"


class Resolution(msgspec.Struct, frozen=True):
    """How names are resolved: the cluster's DNS server and domain, and the host's own file."""

    server: str
    domain: str
    host: str


class Rendered(msgspec.Struct, frozen=True):
    """A pod's resolv.conf, and what people are told of what was left out."""

    text: str
    complaints: tuple[str, ...] = ()


def render_resolution(pod: Pod, resolution: Resolution) -> Rendered:
    """Returns /etc/resolv.conf by the pod's DNS policy."""
    servers, searches, options = _by_policy(pod, resolution)
    config = pod.spec.dns_config
    if config is not None:
        servers = _once([*servers, *config.nameservers])
        searches = _once([*searches, *config.searches])
        for option in config.options:
            options.pop(option.name, None)
            options[option.name] = option.value or ""
    complaints = []
    if len(servers) > MAX_NAMESERVERS:
        servers = servers[:MAX_NAMESERVERS]
        complaints.append(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied "
            f"nameserver line is: {' '.join(servers)}"
        )
    fitting = plan_searches(searches)
    if fitting != searches:
        complaints.append(
            "Search Line limits were exceeded, some search paths have been omitted, the applied "
            f"search line is: {' '.join(fitting)}"
        )
    return Rendered(_text(servers, fitting, options), tuple(complaints))


def plan_searches(searches: list[str]) -> list[str]:
    """Returns the search paths that fit in number and in length."""
    fitting = searches[:MAX_SEARCH_PATHS]
    fitting = [it for it in fitting if len(it) <= MAX_SEARCH_PATH_CHARACTERS]
    while len(" ".join(fitting)) > MAX_SEARCH_CHARACTERS:
        fitting.pop()
    return fitting


def _once(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _text(servers: list[str], searches: list[str], options: dict[str, str]) -> str:
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {it}" for it in servers]
    if options:
        lines.append("options " + " ".join(f"{k}:{v}" if v else k for k, v in options.items()))
    return "\n".join([*lines, ""])


def _by_policy(pod: Pod, resolution: Resolution) -> tuple[list[str], list[str], dict[str, str]]:
    policy = pod.spec.dns_policy
    if policy == "None":
        return [], [], {}
    servers, searches, options = parse_resolution(resolution.host)
    if policy == "Default" or (policy == "ClusterFirst" and pod.spec.host_network):
        return servers, searches, options
    domain = resolution.domain
    own = [f"{pod.metadata.namespace}.svc.{domain}", f"svc.{domain}", domain]
    return [resolution.server], _once([*own, *searches]), {"ndots": "5"}


def parse_resolution(text: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Reads a resolv.conf(5) as the kubelet does: nameservers, search paths, options."""
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] == "search":  # the last one counts, as the last line of options does
            searches = [word.removesuffix(".") for word in words[1:] if word != "."]
        elif words[0] == "options":
            pairs = (word.partition(":") for word in words[1:])
            options = {name: value for name, _, value in pairs}
    return servers, searches, options
