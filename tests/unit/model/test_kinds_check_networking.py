"""The kinds of networking.k8s.io, and RuntimeClass."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import IMMUTABLE, Causes, causes

GROUP = "networking.k8s.io"
REQUIRED = "Required value"
SERVICE = {"service": {"name": "s", "port": {"number": 80}}}
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
WILDCARD = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which "
    "must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric "
    "character (e.g. '*.example.com', regex used for validation is "
    "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def path(value: str, kind: str = "Exact", **backend: Any) -> dict[str, Any]:
    return {"path": value, "pathType": kind, "backend": backend or SERVICE}


def rule(*paths: dict[str, Any], host: str = "") -> dict[str, Any]:
    return {"host": host, "http": {"paths": list(paths)}}


def ingress(old: dict[str, Any] | None = None, **spec: Any) -> Causes:
    before = None if old is None else {"spec": old}
    return causes(GROUP, "ingresses", {"spec": spec}, before)


PATH = "spec.rules[0].http.paths[0]"
ABSOLUTE = "must be an absolute path"
BACKEND = "spec.defaultBackend"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {
                "ingressClassName": "c",
                "rules": [rule(path("/a"), path("", "ImplementationSpecific"), host="*.b.c"), {}],
                "tls": [{"hosts": ["*.b.c", "d"], "secretName": "s"}],
            },
            [],
        ),
        (
            {},
            [
                (
                    "spec",
                    "Invalid value: null: either `defaultBackend` or `rules` must be specified",
                )
            ],
        ),
        (
            {
                "rules": [
                    rule(host="10.0.0.1"),
                    rule(path("/"), host="*"),
                    rule(path("/"), host="A"),
                ]
            },
            [
                (
                    "spec.rules[0].host",
                    'Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
                ),
                ("spec.rules[0].http.paths", REQUIRED),
                ("spec.rules[1].host", f'Invalid value: "*": {WILDCARD}'),
                ("spec.rules[2].host", f'Invalid value: "A": {SUBDOMAIN}'),
            ],
        ),
        (
            {"rules": [rule({"backend": SERVICE})]},
            [(f"{PATH}.pathType", f"{REQUIRED}: pathType must be specified")],
        ),
        (
            {"rules": [rule(path("/", "Regex"))]},
            [
                (
                    f"{PATH}.pathType",
                    'Unsupported value: "Regex": supported values: "Exact", '
                    '"ImplementationSpecific", "Prefix"',
                )
            ],
        ),
        (
            {"rules": [rule(path("", "Prefix"))]},
            [(f"{PATH}.path", f'Invalid value: "": {ABSOLUTE}')],
        ),
        (
            {"rules": [rule(path("a//..", "ImplementationSpecific"))]},
            [(f"{PATH}.path", f'Invalid value: "a//..": {ABSOLUTE}')],
        ),
        (
            {"rules": [rule(path("/a//%2f/.."))]},
            [
                (f"{PATH}.path", f'Invalid value: "/a//%2f/..": {text}')
                for text in (
                    "must not contain '//'",
                    "must not contain '%2f'",
                    "cannot end with '/..'",
                )
            ],
        ),
        (
            {"defaultBackend": {**SERVICE, "resource": {"kind": "K", "name": "n"}}},
            [(BACKEND, 'Invalid value: "": cannot set both resource and service backends')],
        ),
        (
            {"defaultBackend": {}},
            [(BACKEND, 'Invalid value: "": resource or service backend is required')],
        ),
        (
            {"defaultBackend": {"resource": {"apiGroup": "A", "kind": "", "name": "a/b"}}},
            [
                (f"{BACKEND}.resource.apiGroup", f'Invalid value: "A": {SUBDOMAIN}'),
                (f"{BACKEND}.resource.kind", REQUIRED),
                (f"{BACKEND}.resource.name", "Invalid value: \"a/b\": may not contain '/'"),
            ],
        ),
        (
            {"defaultBackend": {"service": {"name": ""}}},
            [
                (f"{BACKEND}.service.name", REQUIRED),
                (BACKEND, f"{REQUIRED}: port name or number is required"),
            ],
        ),
        (
            {"defaultBackend": {"service": {"name": "s", "port": {"name": "p", "number": 1}}}},
            [(BACKEND, 'Invalid value: "": cannot set both port name & port number')],
        ),
        (
            {"defaultBackend": {"service": {"name": "s", "port": {"number": 70000}}}},
            [
                (
                    f"{BACKEND}.service.port.number",
                    "Invalid value: 70000: must be between 1 and 65535, inclusive",
                )
            ],
        ),
        (
            {"defaultBackend": {"service": {"name": "s", "port": {"name": "80"}}}},
            [
                (
                    f"{BACKEND}.service.port.name",
                    'Invalid value: "80": must contain at least one letter (a-z)',
                )
            ],
        ),
        (
            {
                "defaultBackend": SERVICE,
                "ingressClassName": "A",
                "tls": [{"hosts": ["*", "B"], "secretName": "C"}],
            },
            [
                ("spec.tls[0].hosts[0]", f'Invalid value: "*": {WILDCARD}'),
                ("spec.tls[0].hosts[1]", f'Invalid value: "B": {SUBDOMAIN}'),
                ("spec.tls[0].secretName", f'Invalid value: "C": {SUBDOMAIN}'),
                ("spec.ingressClassName", f'Invalid value: "A": {SUBDOMAIN}'),
            ],
        ),
    ],
)
def test_ingresses(spec: dict[str, Any], expected: Causes) -> None:
    assert ingress(**spec) == expected


def test_a_backend_is_named_like_a_service() -> None:
    found = ingress(defaultBackend={"service": {"name": "1s", "port": {"number": 1}}})
    assert [field for field, _text in found] == [f"{BACKEND}.service.name"]
    assert "a DNS-1035 label must" in found[0][1]


def test_what_was_wrong_before_an_update_may_stay() -> None:
    bad_secret = {"defaultBackend": SERVICE, "tls": [{"secretName": "C"}]}
    assert ingress(bad_secret, **bad_secret) == []
    bad_wild = {"rules": [rule(path("a"), host="*.b.c")]}
    assert ingress(bad_wild, **bad_wild) == []
    tame = {"rules": [rule(path("a"), host="b.c")]}
    assert len(ingress(tame, **tame)) == 1
    assert len(ingress({"defaultBackend": SERVICE}, **bad_wild)) == 1


def test_the_class_of_an_ingress_is_said_once() -> None:
    metadata = {"annotations": {"kubernetes.io/ingress.class": "a"}}
    spec = {"defaultBackend": SERVICE, "ingressClassName": "b"}
    document = {"metadata": metadata, "spec": spec}
    assert causes(GROUP, "ingresses", document) == [
        (
            "annotations.kubernetes.io/ingress.class",
            'Invalid value: "a": must match `ingressClassName` when both are specified',
        )
    ]
    assert causes(GROUP, "ingresses", document, document) == []
    same = {**document, "spec": {**spec, "ingressClassName": "a"}}
    assert causes(GROUP, "ingresses", same) == []


def test_the_addresses_of_an_ingress() -> None:
    served = [{"ip": "1"}, {"hostname": "A"}, {"hostname": "10.0.0.1"}, {"ip": "::1"}]
    document = {"spec": {}, "status": {"loadBalancer": {"ingress": served}}}
    where = "status.loadBalancer.ingress"
    assert causes(GROUP, "ingresses", document, {"spec": {}}, "status") == [
        (
            f"{where}[0].ip",
            'Invalid value: "1": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ),
        (f"{where}[1].hostname", f'Invalid value: "A": {SUBDOMAIN}'),
        (
            f"{where}[2].hostname",
            'Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
        ),
    ]
    told = [field for field, _text in causes(GROUP, "ingresses", document, document, "status")]
    assert told == [f"{where}[1].hostname", f"{where}[2].hostname"]  # an address may stay


PARAMETERS = {"kind": "K", "name": "n"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"controller": "a.b/c", "parameters": PARAMETERS}, []),
        (
            {
                "controller": "a.b/c",
                "parameters": {**PARAMETERS, "scope": "Namespace", "namespace": "n"},
            },
            [],
        ),
        ({}, [("controller", REQUIRED)]),
        (
            {"controller": "a.b"},
            [
                (
                    "controller",
                    'Invalid value: "a.b": must be a domain-prefixed path (such as "acme.io/foo")',
                )
            ],
        ),
        (
            {"controller": "A/b c"},
            [
                ("controller", f'Invalid value: "A": {SUBDOMAIN}'),
                (
                    "controller",
                    'Invalid value: "b c": Invalid path (regex used for validation is '
                    "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
                ),
            ],
        ),
        (
            {"controller": f"a/{'b' * 249}"},
            [("controller", "Too long: may not be more than 250 bytes")],
        ),
        (
            {"controller": "a/b", "parameters": {"kind": "", "name": "", "scope": "Galaxy"}},
            [
                (
                    "parameters.scope",
                    'Unsupported value: "Galaxy": supported values: "Cluster", "Namespace"',
                ),
                ("parameters.kind", REQUIRED),
                ("parameters.name", REQUIRED),
            ],
        ),
        (
            {"controller": "a/b", "parameters": {**PARAMETERS, "namespace": "n"}},
            [("parameters.namespace", "Forbidden: `parameters.scope` is set to 'Cluster'")],
        ),
        (
            {"controller": "a/b", "parameters": {**PARAMETERS, "scope": "Namespace"}},
            [
                (
                    "parameters.namespace",
                    f"{REQUIRED}: `parameters.scope` is set to 'Namespace'",
                )
            ],
        ),
    ],
)
def test_classes_of_ingresses(spec: dict[str, Any], expected: Causes) -> None:
    found = causes(GROUP, "ingressclasses", {"spec": spec})
    assert [(field.removeprefix("spec."), text) for field, text in found] == expected


def test_a_class_keeps_its_controller() -> None:
    old, new = ({"spec": {"controller": f"a/{name}"}} for name in "bc")
    assert causes(GROUP, "ingressclasses", old, old) == []
    assert causes(GROUP, "ingressclasses", new, old) == [
        ("spec.controller", f'Invalid value: "a/c": {IMMUTABLE}')
    ]


def policy(**spec: Any) -> Causes:
    return causes(GROUP, "networkpolicies", {"spec": spec})


PORT = "spec.ingress[0].ports[0]"
BLOCK = "spec.egress[0].to[0].ipBlock"
NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
PORTS = "must be between 1 and 65535, inclusive"


def block(cidr: str, *without: str) -> dict[str, Any]:
    return {"egress": [{"to": [{"ipBlock": {"cidr": cidr, "except": list(without)}}]}]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {
                "ingress": [
                    {
                        "from": [{"podSelector": {}, "namespaceSelector": {}}],
                        "ports": [{"port": 1, "endPort": 1}, {"port": "a"}, {}],
                    }
                ],
                **block("10.0.0.0/8", "10.1.0.0/16"),
                "policyTypes": ["Ingress", "Egress"],
            },
            [],
        ),
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            [
                (
                    "spec.podSelector.matchExpressions[0].values",
                    f"{REQUIRED}: must be specified when `operator` is 'In' or 'NotIn'",
                )
            ],
        ),
        (
            {"ingress": [{"ports": [{"protocol": "ICMP", "port": 2, "endPort": 1}]}]},
            [
                (
                    f"{PORT}.protocol",
                    'Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
                ),
                (f"{PORT}.endPort", "Invalid value: 1: must be greater than or equal to `port`"),
            ],
        ),
        (
            {"ingress": [{"ports": [{"port": 0, "endPort": 65536}]}]},
            [
                (f"{PORT}.port", f"Invalid value: 0: {PORTS}"),
                (f"{PORT}.endPort", f"Invalid value: 65536: {PORTS}"),
            ],
        ),
        (
            {"ingress": [{"ports": [{"port": "80", "endPort": 81}]}]},
            [
                (
                    f"{PORT}.endPort",
                    "Invalid value: 81: may not be specified when `port` is non-numeric",
                ),
                (f"{PORT}.port", 'Invalid value: "80": must contain at least one letter (a-z)'),
            ],
        ),
        (
            {"ingress": [{"ports": [{"endPort": 81}]}]},
            [
                (
                    f"{PORT}.endPort",
                    "Invalid value: 81: may not be specified when `port` is not specified",
                )
            ],
        ),
        (
            {"ingress": [{"from": [{}]}]},
            [("spec.ingress[0].from[0]", f"{REQUIRED}: must specify a peer")],
        ),
        (
            {"egress": [{"to": [{"podSelector": {}, "ipBlock": {"cidr": "::/0"}}]}]},
            [
                (
                    "spec.egress[0].to[0]",
                    "Forbidden: may not specify both ipBlock and another peer",
                )
            ],
        ),
        (block(""), [(f"{BLOCK}.cidr", REQUIRED)]),
        (block("10.0.0.0", "x"), [(f"{BLOCK}.cidr", f'Invalid value: "10.0.0.0": {NO_CIDR}')]),
        (
            block("10.0.0.0/8", "x", "10.0.0.0/8", "11.0.0.0/16", "::/0"),
            [
                (f"{BLOCK}.except[0]", f'Invalid value: "x": {NO_CIDR}'),
                *(
                    (
                        f"{BLOCK}.except[{index}]",
                        f'Invalid value: "{cidr}": must be a strict subset of `cidr`',
                    )
                    for index, cidr in ((1, "10.0.0.0/8"), (2, "11.0.0.0/16"), (3, "::/0"))
                ),
            ],
        ),
        (
            {"policyTypes": ["Egress", "Both"]},
            [
                (
                    "spec.policyTypes[1]",
                    'Unsupported value: "Both": supported values: "Ingress", "Egress"',
                )
            ],
        ),
        (
            {"policyTypes": ["Egress"] * 3},
            [
                (
                    "spec.policyTypes",
                    'Invalid value: ["Egress","Egress","Egress"]: may not specify more than two '
                    "policyTypes",
                )
            ],
        ),
    ],
)
def test_policies(spec: dict[str, Any], expected: Causes) -> None:
    assert policy(**spec) == expected


@pytest.mark.parametrize(
    ("cidr", "problem"),
    [
        ("10.0.0.1/24", "must not have bits set beyond the prefix length"),
        ("010.0.0.0/24", "must not have leading 0s in IP or prefix length"),
        ("10.0.0.0/024", "must not have leading 0s in IP or prefix length"),
        ("::ffff:10.0.0.0/120", "must not have an IPv4-mapped IPv6 address"),
        ("FD00::/64", ""),
    ],
)
def test_the_prefixes_of_policies_have_one_meaning(cidr: str, problem: str) -> None:
    spec = {"ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]}
    where = "spec.ingress[0].from[0].ipBlock.cidr"
    expected = [(where, f'Invalid value: "{cidr}": {problem}')] if problem else []
    document = {"spec": {"podSelector": {}, **spec}}
    assert causes(GROUP, "networkpolicies", document) == expected
    assert causes(GROUP, "networkpolicies", document, document) == []  # what was there may stay


@pytest.mark.parametrize(
    ("cidrs", "expected"),
    [
        (["10.0.0.0/24"], []),
        (["10.0.0.0/24", "fd00::/64"], []),
        ([], [("spec.cidrs", f"{REQUIRED}: at least one CIDR required")]),
        (
            ["a", "b", "c"],
            [
                (
                    "spec.cidrs",
                    'Invalid value: {"CIDRs":["a","b","c"]}: may only hold up to 2 values',
                )
            ],
        ),
        (
            ["10.0.0.0/24", "10.1.0.0/24"],
            [
                (
                    "spec.cidrs",
                    'Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more '
                    "than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
                )
            ],
        ),
        (["10.0.0.0/33"], [("spec.cidrs[0]", f'Invalid value: "10.0.0.0/33": {NO_CIDR}')]),
        (["10.0.0.0"], [("spec.cidrs[0]", f'Invalid value: "10.0.0.0": {NO_CIDR}')]),
        *(
            (
                [cidr],
                [
                    (
                        "spec.cidrs[0]",
                        f'Invalid value: "{cidr}": must not have leading 0s in IP or prefix length',
                    )
                ],
            )
            for cidr in ("10.00.0.0/24", "10.0.0.0/024")
        ),
        (
            ["::ffff:10.0.0.0/120"],
            [
                (
                    "spec.cidrs[0]",
                    'Invalid value: "::ffff:10.0.0.0/120": must not have an IPv4-mapped IPv6 '
                    "address",
                )
            ],
        ),
        (
            ["10.0.0.1/24"],
            [
                (
                    "spec.cidrs[0]",
                    'Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length',
                )
            ],
        ),
        (
            ["FD00::/64"],
            [
                (
                    "spec.cidrs[0]",
                    'Invalid value: "FD00::/64": must be in canonical form ("fd00::/64")',
                )
            ],
        ),
    ],
)
def test_prefixes_of_services(cidrs: list[str], expected: Causes) -> None:
    assert causes(GROUP, "servicecidrs", {"spec": {"cidrs": cidrs}}) == expected


def test_prefixes_of_services_stay() -> None:
    old = {"spec": {"cidrs": ["10.0.0.0/24"]}}
    assert causes(GROUP, "servicecidrs", old, old) == []
    assert causes(GROUP, "servicecidrs", {"spec": {"cidrs": ["x"]}}, old) == [
        ("spec.cidrs[0]", f'Invalid value: "x": {IMMUTABLE}')
    ]
    more = {"spec": {"cidrs": ["10.0.0.0/24", "fd00::/64"]}}
    assert causes(GROUP, "servicecidrs", more, old) == []
    assert causes(GROUP, "servicecidrs", old, more) == [
        ("spec.cidrs", f'Invalid value: ["10.0.0.0/24"]: {IMMUTABLE}')
    ]
    same = {"spec": {"cidrs": ["10.1.0.0/24", "10.2.0.0/24"]}}
    assert causes(GROUP, "servicecidrs", same, old) == [
        ("spec.cidrs[0]", f'Invalid value: "10.1.0.0/24": {IMMUTABLE}'),
        (
            "spec.cidrs",
            'Invalid value: ["10.1.0.0/24","10.2.0.0/24"]: may specify no more than one IP for '
            "each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
    ]
    bad = {"spec": {"cidrs": []}}
    assert causes(GROUP, "servicecidrs", bad, bad, "status") == []


PARENT = {"resource": "services", "name": "s", "namespace": "n"}


def address(
    name: str, parent: dict[str, Any] | None = None, old: dict[str, Any] | None = None
) -> Causes:
    document = {"metadata": {"name": name}, "spec": {"parentRef": parent} if parent else {}}
    before = None if old is None else {"metadata": {"name": name}, "spec": {"parentRef": old}}
    return causes(GROUP, "ipaddresses", document, before)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("10.0.0.1", ""),
        ("fd00::1", ""),
        ("a", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ("010.0.0.1", "must not have leading 0s"),
        ("10.0.0.00", "must not have leading 0s"),
        ("::ffff:10.0.0.1", "must not be an IPv4-mapped IPv6 address"),
        ("fd00:0::1", 'must be in canonical form ("fd00::1")'),
        ("10.0..1", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
    ],
)
def test_an_address_is_its_name(name: str, problem: str) -> None:
    expected = [("metadata.name", f'Invalid value: "{name}": {problem}')] if problem else []
    assert address(name, PARENT) == expected


def test_an_address_has_a_parent_that_stays() -> None:
    assert address("10.0.0.1") == [("spec.parentRef", REQUIRED)]
    bad = {"group": "A", "resource": "", "name": "a/b", "namespace": ".."}
    assert address("10.0.0.1", bad) == [
        ("spec.parentRef.group", f'Invalid value: "A": {SUBDOMAIN}'),
        ("spec.parentRef.name", "Invalid value: \"a/b\": may not contain '/'"),
        ("spec.parentRef.namespace", "Invalid value: \"..\": may not be '..'"),
        ("spec.parentRef.resource", REQUIRED),
    ]
    assert address("10.0.0.1", PARENT, PARENT) == []
    assert address("10.0.0.1", {**PARENT, "name": "t"}, PARENT) == [
        ("spec.parentRef", f"Invalid value: null: {IMMUTABLE}")
    ]


def runtime(old: dict[str, Any] | None = None, **fields: Any) -> Causes:
    return causes("node.k8s.io", "runtimeclasses", {"handler": "h", **fields}, old)


def test_classes_of_runtimes() -> None:
    scheduling: dict[str, Any] = {
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
    }
    assert runtime(overhead={"podFixed": {"cpu": "1"}}, scheduling=scheduling) == []
    assert runtime(overhead={"podFixed": {"cpu": "-1"}}) == [
        ("overhead.limits[cpu]", 'Invalid value: "-1": must be greater than or equal to 0')
    ]
    scheduling["nodeSelector"] = {"a": "b c"}
    scheduling["tolerations"] = [{"operator": "Equal"}]
    assert [field for field, _text in runtime(scheduling=scheduling)] == [
        "scheduling.nodeSelector",
        "scheduling.tolerations[0].operator",
    ]
    assert [field for field, _text in runtime(handler="A.b")] == ["handler"]
    assert runtime(handler="") == [("handler", "Required value")]


def test_a_class_of_runtimes_keeps_its_handler() -> None:
    assert runtime({"handler": "h"}, overhead={"podFixed": {"cpu": "1"}}) == []
    assert runtime({"handler": "g"}) == [("handler", f"Invalid value: null: {IMMUTABLE}")]
