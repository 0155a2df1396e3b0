"""Addresses and prefixes in a form that is refused by now: what has them may keep them, nothing new
may have them (validation.IsValidIPForLegacyField, IsValidCIDRForLegacyField)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.checked import admitted, causes, kind_of

OLD, OTHER = "010.0.0.1", "010.0.0.2"
ZEROS = "must not have leading 0s"
CIDR_ZEROS = "must not have leading 0s in IP or prefix length"
CONTAINER = {"name": "a", "image": "i"}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}}
PORTS = {"ports": [{"port": 80}]}


def pod_spec(address: str, **more: Any) -> dict[str, Any]:
    aliases = {"hostAliases": [{"ip": address, "hostnames": ["h"]}]}
    return {"containers": [CONTAINER], **aliases, **more}


def template(address: str, **more: Any) -> dict[str, Any]:
    return {**TEMPLATE, "spec": pod_spec(address, **more)}


def workload(address: str) -> dict[str, Any]:
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template(address)}}


def resolving(address: str) -> dict[str, Any]:
    return {"spec": {"containers": [CONTAINER], "dnsConfig": {"nameservers": [address]}}}


def cron_job(address: str) -> dict[str, Any]:
    job = {"spec": {"template": template(address, restartPolicy="Never")}}
    return {"spec": {"schedule": "* * * * *", "jobTemplate": job}}


def job(address: str) -> dict[str, Any]:
    once = template(address, restartPolicy="Never")
    selector = {"matchLabels": {"a": "b"}}
    return {"spec": {"manualSelector": True, "selector": selector, "template": once}}


def service(**spec: Any) -> dict[str, Any]:
    return {"spec": {**PORTS, **spec}}


def annotated(ranges: str) -> dict[str, Any]:
    name = "service.beta.kubernetes.io/load-balancer-source-ranges"
    annotations = {"metadata": {"annotations": {name: ranges}}}
    return {**annotations, **service(type="LoadBalancer")}


ALIAS = "spec.hostAliases[0].ip"
CASES = [
    ("", "pods", lambda ip: {"spec": pod_spec(ip)}, ALIAS),
    ("", "pods", resolving, "spec.dnsConfig.nameservers[0]"),
    ("", "podtemplates", lambda ip: {"template": template(ip)}, f"template.{ALIAS}"),
    ("apps", "deployments", workload, f"spec.template.{ALIAS}"),
    ("apps", "replicasets", workload, f"spec.template.{ALIAS}"),
    ("apps", "daemonsets", workload, f"spec.template.{ALIAS}"),
    ("apps", "statefulsets", workload, f"spec.template.{ALIAS}"),
    (
        "",
        "replicationcontrollers",
        lambda ip: {"spec": {"selector": {"a": "b"}, "template": template(ip)}},
        f"spec.template.{ALIAS}",
    ),
    ("batch", "cronjobs", cron_job, f"spec.jobTemplate.spec.template.{ALIAS}"),
    ("batch", "jobs", job, f"spec.template.{ALIAS}"),
    ("", "services", lambda ip: service(externalIPs=[ip]), "spec.externalIPs[0]"),
    ("", "services", lambda ip: service(clusterIP=ip, clusterIPs=[ip]), "spec.clusterIPs[0]"),
    (
        "",
        "endpoints",
        lambda ip: {"subsets": [{"addresses": [{"ip": ip}]}]},
        "subsets[0].addresses[0].ip",
    ),
    (
        "discovery.k8s.io",
        "endpointslices",
        lambda ip: {"addressType": "IPv4", "endpoints": [{"addresses": [ip]}]},
        "endpoints[0].addresses[0]",
    ),
]
PREFIXES = [
    ("", "nodes", lambda ip: {"spec": {"podCIDRs": [ip]}}, "spec.podCIDRs[0]"),
    (
        "",
        "services",
        lambda ip: service(type="LoadBalancer", loadBalancerSourceRanges=[ip]),
        "spec.LoadBalancerSourceRanges[0]",
    ),
    (
        "",
        "services",
        annotated,
        "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]",
    ),
]
NAMES = [f"{plural}-{path}" for _group, plural, _made, path in [*CASES, *PREFIXES]]


@pytest.mark.parametrize(
    ("group", "plural", "made", "path", "after", "why"),
    [
        *((*case, "", ZEROS) for case in CASES),
        *((*case, "/32", CIDR_ZEROS) for case in PREFIXES),
    ],
    ids=NAMES,
)
def test_what_was_accepted_once_may_stay(
    group: str, plural: str, made: Any, path: str, after: str, why: str
) -> None:
    kind = kind_of(group, plural)
    old, other = made(f"{OLD}{after}"), made(f"{OTHER}{after}")
    refused = (path, f'Invalid value: "{OLD}{after}": {why}')
    assert refused in causes(group, plural, old)
    before = admitted(kind, other)
    changed = admitted(kind, old)
    found = [(cause.field, cause.message) for cause in kind.check(changed, before, "")]
    assert refused in found
    kept = copy.deepcopy(before)
    kept["metadata"]["labels"] = {"c": "d"}
    assert [cause for cause in kind.check(kept, before, "") if "leading 0s" in cause.message] == []
    # nor is what was let pass remembered as sound
    assert (path, f'Invalid value: "{OTHER}{after}": {why}') in causes(group, plural, other)


def test_addresses_of_a_status_may_stay() -> None:
    def pod(address: str) -> dict[str, Any]:
        status = {"podIPs": [{"ip": address}], "hostIP": address, "hostIPs": [{"ip": address}]}
        return {"spec": {"containers": [CONTAINER]}, "status": status}

    assert causes("", "pods", pod(OLD), pod(OLD), "status") == []
    found = causes("", "pods", pod(OLD), pod(OTHER), "status")
    assert [field for field, _message in found] == ["status.podIPs[0]", "status.hostIPs[0]"]

    def balanced(address: str) -> dict[str, Any]:
        status = {"loadBalancer": {"ingress": [{"ip": address}]}}
        return {**service(type="LoadBalancer"), "status": status}

    assert causes("", "services", balanced(OLD), balanced(OLD), "status") == []
    assert causes("", "services", balanced(OLD), balanced(OTHER), "status") == [
        ("status.loadBalancer.ingress[0].ip", f'Invalid value: "{OLD}": {ZEROS}')
    ]


def test_an_address_that_a_service_kept_is_still_of_its_family() -> None:
    spec = {"clusterIP": OLD, "clusterIPs": [OLD], "ipFamilyPolicy": "SingleStack"}
    four, six = (service(**spec, ipFamilies=[name]) for name in ("IPv4", "IPv6"))
    assert causes("", "services", four, four) == []
    assert causes("", "services", six, six) == [
        (
            "spec.clusterIPs[0]",
            f'Invalid value: "{OLD}": expected an IPv6 value as indicated by `ipFamilies[0]`',
        )
    ]
