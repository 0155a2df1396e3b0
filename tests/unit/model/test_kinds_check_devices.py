"""The kinds of resource.k8s.io: classes, claims and their templates, taint rules."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import Causes, admitted, causes, kind_of

GROUP = "resource.k8s.io"
REQUIRED = "Required value"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must"
    " start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
    "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
IDENTIFIER = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of "
    "alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for "
    "validation is '[A-Za-z_][A-Za-z0-9_]*')"
)
REFERENCE = (
    "must be the name of a request in the claim or the name of a request and a subrequest "
    "separated by '/'"
)


def wish(**fields: Any) -> dict[str, Any]:
    return {"deviceClassName": "gpu", **fields}


def request(name: str = "r", **fields: Any) -> dict[str, Any]:
    return {"name": name, "exactly": wish(**fields)}


def claim(*requests: dict[str, Any], **devices: Any) -> dict[str, Any]:
    return {"spec": {"devices": {"requests": list(requests), **devices}}}


def of_class(old: dict[str, Any] | None = None, **spec: Any) -> Causes:
    before = None if old is None else {"spec": old}
    return causes(GROUP, "deviceclasses", {"spec": spec}, before)


def opaque(driver: str = "d.example", parameters: Any = None) -> dict[str, Any]:
    return {"opaque": {"driver": driver, "parameters": parameters}}


OPAQUE = opaque(parameters={})
PARAMETERS = "spec.config[0].opaque.parameters"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"selectors": [{"cel": {"expression": "true"}}]}, []),
        ({"selectors": [{}]}, [("spec.selectors[0].cel", REQUIRED)]),
        (
            {"selectors": [{}] * 33},
            [("spec.selectors", "Too many: 33: must have at most 32 items")],
        ),
        ({"config": [{}]}, [("spec.config[0].opaque", REQUIRED)]),
        ({"config": [opaque(parameters={"a": 1})] * 32}, []),
        (
            {"config": [opaque(parameters={"a": 1})] * 33},
            [("spec.config", "Too many: 33: must have at most 32 items")],
        ),
        ({"config": [opaque()]}, [(PARAMETERS, REQUIRED)]),
        (
            {"config": [opaque(parameters=[1])]},
            [(PARAMETERS, 'Invalid value: "<value omitted>": must be a valid JSON object')],
        ),
        (
            {"config": [opaque(parameters={"a": "x" * 10233})]},
            [(PARAMETERS, "Too long: may not be more than 10240 bytes")],
        ),
        ({"config": [opaque(parameters={"a": "x" * 10232})]}, []),
        (
            {"config": [opaque("", {"a": 1})]},
            [("spec.config[0].opaque.driver", REQUIRED)],
        ),
        ({"extendedResourceName": "example.com/gpu"}, []),
        (
            {"extendedResourceName": "cpu"},
            [
                (
                    "spec.extendedResourceName",
                    'Invalid value: "cpu": must be a valid extended resource name',
                )
            ],
        ),
    ],
)
def test_a_device_class_is_checked(spec: dict[str, Any], expected: Causes) -> None:
    assert of_class(**spec) == expected


def test_parameters_of_a_class_that_were_there_before_may_be_of_any_size() -> None:
    big = {"config": [opaque(parameters={"a": "x" * 20000})]}
    assert of_class(big, **big) == []
    more = {"config": [*big["config"], opaque(parameters={})]}
    assert of_class(big, **more) == [(PARAMETERS, "Too long: may not be more than 10240 bytes")]


R0 = "spec.devices.requests[0]"
C0 = "spec.devices.constraints[0]"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (claim(request()), []),
        (claim(), []),
        (claim(request("R")), [(f"{R0}.name", f'Invalid value: "R": {LABEL}')]),
        (
            claim(request(), request()),
            [("spec.devices.requests[1]", 'Duplicate value: "r"')],
        ),
        (
            claim(*[request(f"r{number}") for number in range(33)]),
            [("spec.devices.requests", "Too many: 33: must have at most 32 items")],
        ),
        (
            claim({"name": "r"}),
            [(R0, f"{REQUIRED}: exactly one of `exactly` or `firstAvailable` is required")],
        ),
        (
            claim({**request(), "firstAvailable": [{"name": "a", **wish()}]}),
            [
                (
                    R0,
                    "Invalid value: null: exactly one of `exactly` or `firstAvailable` is "
                    "required, but multiple fields are set",
                )
            ],
        ),
        (
            claim({"name": "r", "firstAvailable": [{"name": "a", **wish()}] * 2}),
            [(f"{R0}.firstAvailable[1]", 'Duplicate value: "a"')],
        ),
        (
            claim({"name": "r", "firstAvailable": [{"name": "a", **wish()}] * 9}),
            [(f"{R0}.firstAvailable", "Too many: 9: must have at most 8 items")],
        ),
        (
            claim({"name": "r", "firstAvailable": [{"name": "", "deviceClassName": ""}]}),
            [
                (f"{R0}.firstAvailable[0].name", f'Invalid value: "": {LABEL}'),
                (f"{R0}.firstAvailable[0].deviceClassName", REQUIRED),
            ],
        ),
        (
            claim(request(allocationMode="Some")),
            [
                (
                    f"{R0}.exactly.allocationMode",
                    'Unsupported value: "Some": supported values: "All", "ExactCount"',
                )
            ],
        ),
        (
            claim(request(allocationMode="All", count=1)),
            [
                (
                    f"{R0}.exactly.count",
                    "Invalid value: 1: must not be specified when allocationMode is 'All'",
                )
            ],
        ),
        (claim(request(allocationMode="All")), []),
        (
            claim(request(count=-1)),
            [(f"{R0}.exactly.count", "Invalid value: -1: must be greater than zero")],
        ),
        (
            claim(request(selectors=[{}])),
            [(f"{R0}.exactly.selectors[0].cel", REQUIRED)],
        ),
        (
            claim(request(tolerations=[{"operator": "Exists", "value": "v"}])),
            [
                (
                    f"{R0}.exactly.tolerations[0].value",
                    'Invalid value: "v": must be empty for operator `Exists`',
                )
            ],
        ),
        (
            claim(request(tolerations=[{"operator": "Is", "effect": "Now"}])),
            [
                (
                    f"{R0}.exactly.tolerations[0].operator",
                    'Unsupported value: "Is": supported values: "Equal", "Exists"',
                ),
                (
                    f"{R0}.exactly.tolerations[0].effect",
                    'Unsupported value: "Now": supported values: "NoExecute", "NoSchedule", "None"',
                ),
            ],
        ),
        (
            claim(request(), constraints=[{"requests": ["r"], "matchAttribute": "d.x/a"}]),
            [],
        ),
        (
            claim(request(), constraints=[{}]),
            [
                (
                    C0,
                    f'{REQUIRED}: exactly one of "matchAttribute" or "distinctAttribute" is '
                    "required, but multiple fields are set",
                )
            ],
        ),
        (
            claim(request(), constraints=[{"distinctAttribute": "a"}]),
            [
                (
                    f"{C0}.distinctAttribute",
                    'Invalid value: "a": a fully qualified name must be a domain and a name '
                    "separated by a slash",
                )
            ],
        ),
        (
            claim(request(), constraints=[{"matchAttribute": "d.x/a-b"}]),
            [(f"{C0}.matchAttribute", f'Invalid value: "a-b": {IDENTIFIER}')],
        ),
        (
            claim(request(), constraints=[{"matchAttribute": "a/b/c"}]),
            [
                (
                    f"{C0}.matchAttribute",
                    'Invalid value: "a/b/c": must not contain more than one slash',
                )
            ],
        ),
        (
            claim(request(), constraints=[{"matchAttribute": "/"}]),
            [
                (f"{C0}.matchAttribute", 'Invalid value: "": the domain must not be empty'),
                (f"{C0}.matchAttribute", 'Invalid value: "": the name must not be empty'),
            ],
        ),
        (
            claim(
                request(), config=[{**opaque(parameters={}), "requests": ["r", "r", "q", "r/s"]}]
            ),
            [
                ("spec.devices.config[0].requests[2]", f'Invalid value: "q": {REFERENCE}'),
                ("spec.devices.config[0].requests[3]", f'Invalid value: "r/s": {REFERENCE}'),
                ("spec.devices.config[0].requests[1]", 'Duplicate value: "r"'),
            ],
        ),
        (
            claim(
                {"name": "r", "firstAvailable": [{"name": "a", **wish()}]},
                config=[{**opaque(parameters={}), "requests": ["r", "r/a", "r/a/b"]}],
            ),
            [("spec.devices.config[0].requests[2]", f'Invalid value: "r/a/b": {REFERENCE}')],
        ),
    ],
)
def test_a_claim_and_a_template_of_it_are_checked_alike(
    document: dict[str, Any], expected: Causes
) -> None:
    assert causes(GROUP, "resourceclaims", document) == expected
    inner = [(f"spec.{field}", message) for field, message in expected]
    assert causes(GROUP, "resourceclaimtemplates", {"spec": document}) == inner


def test_labels_of_the_claims_of_a_template_are_checked() -> None:
    template = {"spec": {"metadata": {"labels": {"a": "b c"}}, **claim(request())}}
    found = causes(GROUP, "resourceclaimtemplates", template)
    assert [field for field, _ in found] == ["spec.metadata.labels"]


SHOWN = (
    '{"Devices":{"Requests":[{"Name":"q","Exactly":{"DeviceClassName":"gpu","Selectors":null,'
    '"AllocationMode":"ExactCount","Count":1,"AdminAccess":null,"Tolerations":null,'
    '"Capacity":null,"DerivedAttributes":null},"FirstAvailable":null}],"Constraints":null,'
    '"Config":null}}'
)


def test_the_spec_of_a_claim_and_of_a_template_stays() -> None:
    old, new = claim(request()), claim(request("q"))
    assert causes(GROUP, "resourceclaims", old, old) == []
    assert causes(GROUP, "resourceclaims", new, old) == [
        ("spec", "Invalid value: null: field is immutable")
    ]
    assert causes(GROUP, "resourceclaimtemplates", {"spec": old}, {"spec": old}) == []
    changed = causes(GROUP, "resourceclaimtemplates", {"spec": new}, {"spec": old})
    assert changed == [
        ("spec", f'Invalid value: {{"ObjectMeta":{{}},"Spec":{SHOWN}}}: field is immutable')
    ]


def result(device: str = "d0", **fields: Any) -> dict[str, Any]:
    return {"request": "r", "driver": "d.example", "pool": "p", "device": device, **fields}


def allocated(*results: dict[str, Any], **allocation: Any) -> dict[str, Any]:
    return {"devices": {"results": list(results)}, **allocation}


def of_status(
    status: dict[str, Any], before: dict[str, Any] | None = None, **metadata: Any
) -> Causes:
    old = {**claim(request()), "status": before or {}}
    new = {**claim(request()), "status": status, "metadata": metadata}
    return causes(GROUP, "resourceclaims", new, old, "status")


POD = {"resource": "pods", "name": "p", "uid": "u"}
RESULT = "status.allocation.devices.results[0]"
UUID = (
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase"
    " hexadecimal characters"
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"allocation": allocated(result()), "reservedFor": [POD]}, []),
        (
            {"reservedFor": [POD]},
            [
                (
                    "status.reservedFor",
                    "Forbidden: may not be specified when `allocated` is not set",
                )
            ],
        ),
        (
            {"allocation": allocated(), "reservedFor": [{"resource": "", "name": "", "uid": ""}]},
            [
                ("status.reservedFor[0].resource", REQUIRED),
                ("status.reservedFor[0].name", REQUIRED),
                ("status.reservedFor[0].uid", REQUIRED),
            ],
        ),
        (
            {"allocation": allocated(), "reservedFor": [POD, {**POD, "name": "q"}]},
            [("status.reservedFor[1]", 'Duplicate value: "u"')],
        ),
        (
            {
                "allocation": allocated(),
                "reservedFor": [{**POD, "uid": str(number)} for number in range(257)],
            },
            [("status.reservedFor", "Too many: 257: must have at most 256 items")],
        ),
        (
            {"allocation": allocated(result(request="q"))},
            [(f"{RESULT}.request", f'Invalid value: "q": {REFERENCE}')],
        ),
        (
            {"allocation": allocated(result(pool=""))},
            [(f"{RESULT}.pool", REQUIRED)],
        ),
        ({"allocation": allocated(result(pool="a/b.c"))}, []),
        (
            {"allocation": allocated(result("D"))},
            [(f"{RESULT}.device", f'Invalid value: "D": {LABEL}')],
        ),
        (
            {"allocation": allocated(result(shareID="X"))},
            [(f"{RESULT}.shareID", f'Invalid value: "X": {UUID}')],
        ),
        (
            {"allocation": allocated(result(bindingConditions=["a"]))},
            [
                (
                    f"{RESULT}.bindingFailureConditions",
                    "Invalid value: null: bindingFailureConditions are required to use "
                    "bindingConditions",
                )
            ],
        ),
        (
            {
                "allocation": allocated(
                    result(bindingConditions=["a", "a"], bindingFailureConditions=["a"])
                )
            },
            [
                (f"{RESULT}.bindingConditions[1]", 'Duplicate value: "a"'),
                (
                    f"{RESULT}.bindingFailureConditions[0]",
                    'Invalid value: "a": bindingFailureConditions must not overlap with '
                    "bindingConditions",
                ),
            ],
        ),
        (
            {"allocation": allocated(*[result()] * 33)},
            [
                (
                    "status.allocation.devices.results",
                    "Too many: 33: must have at most 32 items",
                )
            ],
        ),
        (
            {"allocation": {"devices": {"config": [{"source": "", **opaque(parameters={})}]}}},
            [("status.allocation.devices.config[0].source", REQUIRED)],
        ),
        (
            {"allocation": {"devices": {"config": [{"source": "Me", **opaque(parameters={})}]}}},
            [
                (
                    "status.allocation.devices.config[0].source",
                    'Unsupported value: "Me": supported values: "FromClaim", "FromClass"',
                )
            ],
        ),
        (
            {"allocation": allocated(nodeSelector={"nodeSelectorTerms": []})},
            [
                (
                    "status.allocation.nodeSelector.nodeSelectorTerms",
                    f"{REQUIRED}: must have at least one node selector term",
                )
            ],
        ),
    ],
)
def test_the_status_of_a_claim_is_checked(status: dict[str, Any], expected: Causes) -> None:
    assert of_status(status) == expected


def device(name: str = "d0", **fields: Any) -> dict[str, Any]:
    return {"driver": "d.example", "pool": "p", "device": name, **fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"device": "d1"}, "Invalid value: d.example/p/d1: must be an allocated device in the"),
        ({"data": [1]}, 'Invalid value: "<value omitted>": must be a valid JSON object'),
        ({"networkData": {"interfaceName": "x" * 257}}, "Too long: may not be more than 256 bytes"),
        ({"networkData": {"hardwareAddress": "x" * 129}}, "Too long: may not be more than 128"),
        ({"networkData": {"ips": ["10.0.0.1/8", "fd00::1/64"]}}, []),
        ({"networkData": {"ips": ["10.0.0.1/8"] * 2}}, 'Duplicate value: "10.0.0.1/8"'),
        (
            {"networkData": {"ips": ["10.0.0.1"]}},
            'Invalid value: "10.0.0.1": must be a valid',
        ),
        (
            {"networkData": {"ips": ["FD00::1/64"]}},
            'Invalid value: "FD00::1/64": must be in',
        ),
        (
            {"conditions": [{"type": f"t{number}", "status": "True"} for number in range(9)]},
            "Too many: 9: must have at most 8 items",
        ),
    ],
)
def test_what_a_driver_says_of_a_device_is_checked(fields: dict[str, Any], expected: Any) -> None:
    status = {"allocation": allocated(result()), "devices": [device(**fields)]}
    found = of_status(status)
    assert found == expected if not expected else found[0][1].startswith(expected)


def test_a_device_has_one_status() -> None:
    status = {"allocation": allocated(result()), "devices": [device(), device()]}
    assert of_status(status) == [("status.devices[1]", "Duplicate value: d.example/p/d0")]


def test_an_allocation_does_not_change_and_a_deleted_claim_gets_no_more_consumers() -> None:
    before = {"allocation": allocated(result()), "reservedFor": [POD]}
    assert of_status(before, before) == []
    assert of_status({}, before) == []
    assert of_status({"allocation": allocated(result("d1"))}, before) == [
        ("status.allocation", "Invalid value: null: field cannot be modified once set")
    ]
    more = {**before, "reservedFor": [POD, {**POD, "uid": "v"}]}
    assert of_status(more, before) == []
    deleted = "2026-01-01T00:00:00Z"
    assert of_status(before, before, deletionTimestamp=deleted) == []
    assert of_status(more, before, deletionTimestamp=deleted) == [
        (
            "status.reservedFor",
            "Forbidden: new entries may not be added while `deallocationRequested` or "
            "`deletionTimestamp` are set",
        )
    ]


def test_a_new_claim_has_no_status_and_no_fields_of_features_that_are_off() -> None:
    kind = kind_of(GROUP, "resourceclaims")
    derived = [{"name": "d.x/a", "expression": "1"}]
    alternative = {
        "name": "r",
        "firstAvailable": [{"name": "a", **wish(derivedAttributes=derived)}],
    }
    document = claim(request("q", derivedAttributes=derived), alternative)
    made = kind.prepare(admitted(kind, {**document, "status": {"reservedFor": [POD]}}), None, "")
    kept = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
    assert made["status"] == {}
    assert made["spec"]["devices"]["requests"] == [
        {"name": "q", "exactly": kept},
        {"name": "r", "firstAvailable": [{"name": "a", **kept}]},
    ]
    template = kind_of(GROUP, "resourceclaimtemplates")
    prepared = template.prepare(admitted(template, {"spec": document}), None, "")
    assert prepared["spec"]["spec"] == made["spec"]


def test_what_a_driver_said_goes_with_the_allocation() -> None:
    kind = kind_of(GROUP, "resourceclaims")
    status = {"allocation": allocated(result(), result("d1"))}
    status["devices"] = [device(), device("d1")]
    old = admitted(kind, {**claim(request()), "status": status})
    skipping = allocated(result(skipNodeOperations=["*"]))
    new = {**old, "status": {**status, "allocation": skipping}}
    made = kind.prepare(new, old, "status")["status"]
    assert made == {"allocation": allocated(result()), "devices": [device()]}
    assert kind.prepare({**old, "status": {"devices": status["devices"]}}, old, "status") == {
        **old,
        "status": {},
    }


def rule(**spec: Any) -> dict[str, Any]:
    return {"spec": {"taint": {"key": "k", "effect": "NoExecute"}, **spec}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"deviceSelector": {"driver": "d.example", "pool": "p/q", "device": "d"}}, []),
        ({"deviceSelector": {"pool": ""}}, [("spec.deviceSelector.pool", REQUIRED)]),
        (
            {"deviceSelector": {"device": "D"}},
            [("spec.deviceSelector.device", f'Invalid value: "D": {LABEL}')],
        ),
        ({"taint": {"key": "k", "effect": ""}}, [("spec.taint.effect", REQUIRED)]),
        (
            {"taint": {"key": "k", "effect": "Never"}},
            [
                (
                    "spec.taint.effect",
                    'Unsupported value: "Never": supported values: "NoExecute", "NoSchedule", '
                    '"None"',
                )
            ],
        ),
    ],
)
def test_a_taint_rule_is_checked(spec: dict[str, Any], expected: Causes) -> None:
    assert causes(GROUP, "devicetaintrules", rule(**spec)) == expected


def test_keys_and_values_of_taints_are_those_of_labels() -> None:
    taint = {"key": "", "value": "a b", "effect": "None"}
    found = causes(GROUP, "devicetaintrules", rule(taint=taint))
    assert {field for field, _ in found} == {"spec.taint.key", "spec.taint.value"}


def test_the_effect_of_a_taint_that_was_there_before_may_stay() -> None:
    old = rule(taint={"key": "k", "effect": "Later"})
    assert causes(GROUP, "devicetaintrules", old, old) == []


def test_the_status_of_a_taint_rule_has_few_conditions() -> None:
    when = "2026-01-01T00:00:00Z"
    conditions = [
        {"type": f"t{number}", "status": "True", "reason": "R", "lastTransitionTime": when}
        for number in range(9)
    ]
    told = {**rule(), "status": {"conditions": conditions}}
    assert causes(GROUP, "devicetaintrules", told, rule(), "status") == [
        ("status.conditions", "Too many: 9: must have at most 8 items")
    ]
    kind = kind_of(GROUP, "devicetaintrules")
    assert kind.prepare(admitted(kind, told), None, "")["status"] == {}
