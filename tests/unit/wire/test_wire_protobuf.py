"""Objects in their Protocol Buffers form: what is read of them, and what is refused."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from steersman.model import builtin, numbers, schema
from steersman.model.schema import Node
from steersman.wire.protobuf.objects import (
    DEEPEST,
    MAGIC,
    SCHEMA_PROPS,
    Malformed,
    Unknown,
    decode,
    unwrap,
)
from steersman.wire.protobuf.writer import definition_of, encode, message

CORE, META = "io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."
LEASE = "io.k8s.api.coordination.v1.Lease"
REVIEW = "io.k8s.api.authorization.v1.SubjectAccessReview"
NESTING = "io.k8s.api.scheduling.v1beta1.CompositePodGroupTemplate"
SCALARS = {"string", "integer", "number", "boolean", "quantity", "int-or-string"}
READ = {"object", "array", "any", *SCALARS}


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: a varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def entry(number: int, key: str, value: str | bytes) -> bytes:
    """One entry of a map."""
    return field(number, field(1, key) + field(2, value))


def time(seconds: int, nanos: int = 0) -> bytes:
    return field(1, seconds) + (field(2, nanos) if nanos else b"")


# The envelope


def test_the_envelope_names_the_kind_and_holds_the_object() -> None:
    meta = field(1, "apps/v1") + field(2, "Deployment")
    body = MAGIC + field(1, meta) + field(2, b"raw") + field(3, "") + field(4, "")
    assert unwrap(body) == Unknown("apps/v1", "Deployment", b"raw")
    assert unwrap(MAGIC) == Unknown("", "", b"")


@pytest.mark.parametrize("body", [b"", b"{}", MAGIC[:3], b"K8s\x00"])
def test_a_body_without_the_magic_is_none(body: bytes) -> None:
    with pytest.raises(Malformed, match="does not appear to be a protobuf message"):
        unwrap(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (field(1, 5), "a message has the wrong wire type"),
        (field(1, field(1, 5)), "a message has the wrong wire type"),
        (field(2, 5), "a message has the wrong wire type"),
        (field(1, field(2, b"\xff")), "a string is not UTF-8"),
        (b"\x0a", "unexpected EOF"),
        (b"\x0a\x05abcd", "unexpected EOF"),
        (b"\x80", "unexpected EOF"),
        (b"\x0b", "wire type 3 is not known"),
        (b"\x0c", "wire type 4 is not known"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "integer overflow"),
        (b"\x0d\x01\x02\x03", "unexpected EOF"),
        (b"\x09" + bytes(7), "unexpected EOF"),
    ],
)
def test_what_is_no_message_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        unwrap(MAGIC + body)


# Objects


def test_maps_bytes_and_what_is_left_out() -> None:
    metadata = field(1, "a") + field(2, "") + field(3, "b") + entry(11, "x", "y")
    raw = field(1, metadata) + entry(2, "k", "v") + entry(2, "", "") + entry(3, "bin", b"\x00\xff")
    assert decode(CORE + "ConfigMap", raw) == {
        "metadata": {"name": "a", "namespace": "b", "labels": {"x": "y"}},
        "data": {"k": "v", "": ""},
        "binaryData": {"bin": "AP8="},
    }
    # A map's entry may leave out a key or a value that is empty
    bare = field(2, field(1, "only key")) + field(2, field(2, "only value"))
    assert decode(CORE + "ConfigMap", bare)["data"] == {"only key": "", "": "only value"}


def test_zero_is_kept_where_it_differs_from_absence() -> None:
    assert decode(CORE + "ConfigMap", field(4, 0)) == {"immutable": False}
    assert decode(CORE + "ConfigMap", field(4, 1)) == {"immutable": True}
    spec = field(4, 0) + field(11, 0) + field(10, "")
    assert decode(CORE + "PodSpec", spec) == {"terminationGracePeriodSeconds": 0}
    assert decode(CORE + "PodSpec", field(11, 1)) == {"hostNetwork": True}


def test_numbers_have_a_sign() -> None:
    assert decode(META + "ObjectMeta", field(7, -1)) == {"generation": -1}
    most = (1 << 63) - 1
    assert decode(META + "ObjectMeta", field(7, most)) == {"generation": most}
    assert decode(META + "ObjectMeta", field(10, 0)) == {"deletionGracePeriodSeconds": 0}
    # Ten bytes may hold more than 64 bits; Go keeps the lower ones
    assert decode(META + "ObjectMeta", b"\x38" + b"\x85" + b"\x80" * 8 + b"\x02") == {
        "generation": 5
    }


def test_fields_that_nobody_knows_are_passed_over_whatever_they_are() -> None:
    unknown = field(99, 5) + field(99, "x") + b"\x99\x06" + bytes(8) + b"\x9d\x06" + bytes(4)
    assert decode(CORE + "ConfigMap", unknown + field(4, 1)) == {"immutable": True}


def test_a_field_given_twice_counts_as_it_was_given_last() -> None:
    assert decode(META + "ObjectMeta", field(1, "a") + field(1, "b")) == {"name": "b"}


def test_times_are_whole_seconds_but_for_those_of_leases() -> None:
    metadata = field(8, time(1_700_000_000, 999_999_999)) + field(9, b"")
    assert decode(META + "ObjectMeta", metadata) == {"creationTimestamp": "2023-11-14T22:13:20Z"}
    spec = field(4, time(1_700_000_000, 123_456_000))
    assert decode(LEASE, field(2, spec)) == {"spec": {"renewTime": "2023-11-14T22:13:20.123456Z"}}
    assert decode(META + "ObjectMeta", field(8, time(-1))) == {
        "creationTimestamp": "1969-12-31T23:59:59Z"
    }


@pytest.mark.parametrize("seconds", [1 << 62, -(1 << 62), 300_000_000_000])
def test_a_time_beyond_the_calendar_is_refused(seconds: int) -> None:
    with pytest.raises(Malformed, match=f"the time {seconds} is out of range"):
        decode(META + "ObjectMeta", field(8, time(seconds)))


@pytest.mark.parametrize(
    ("port", "found"),
    [
        (field(1, 0) + field(2, 8080), 8080),
        (field(1, 1) + field(2, 5) + field(3, "http"), "http"),
        (field(1, 1), ""),
        (b"", 0),
        (field(2, -1), -1),
    ],
)
def test_a_port_is_a_number_or_a_name(port: bytes, found: int | str) -> None:
    assert decode(CORE + "TCPSocketAction", field(1, port)) == {"port": found}


def test_quantities_are_texts() -> None:
    limits = entry(1, "cpu", field(1, "500m")) + entry(1, "memory", b"")
    assert decode(CORE + "ResourceRequirements", limits) == {
        "limits": {"cpu": "500m", "memory": ""}
    }


def test_lists_keep_their_order_and_their_empty_items() -> None:
    container = field(1, "c") + field(3, "sh") + field(3, "") + field(7, field(1, "A"))
    spec = field(2, container) + field(2, field(1, "d"))
    assert decode(CORE + "PodSpec", spec) == {
        "containers": [{"name": "c", "command": ["sh", ""], "env": [{"name": "A"}]}, {"name": "d"}]
    }
    groups = field(4, 1) + field(4, 0)
    assert decode(CORE + "PodSecurityContext", groups) == {"supplementalGroups": [1, 0]}


def test_a_map_of_lists_wraps_each_list_in_a_message() -> None:
    spec = entry(5, "scopes", field(1, "a") + field(1, "b")) + entry(5, "none", b"")
    assert decode(REVIEW, field(2, spec)) == {"spec": {"extra": {"scopes": ["a", "b"], "none": []}}}


def test_what_is_embedded_in_go_stands_in_its_parent() -> None:
    volume = field(1, "v") + field(2, field(2, field(1, "Memory")))
    assert decode(CORE + "Volume", volume) == {"name": "v", "emptyDir": {"medium": "Memory"}}


def test_raw_json_stands_inside_as_it_is() -> None:
    entry_of = field(1, "kubectl") + field(7, field(1, b'{"f:data":{}}'))
    assert decode(META + "ObjectMeta", field(17, entry_of)) == {
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:data": {}}}]
    }
    assert decode(META + "ManagedFieldsEntry", field(7, b"")) == {}


@pytest.mark.parametrize("text", [b"{", b"[" * 100_000, b"\xff", b"nonsense"])
def test_raw_json_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed, match="raw JSON: "):
        decode(META + "ManagedFieldsEntry", field(7, field(1, text)))


@pytest.mark.parametrize(
    ("definition", "raw", "why"),
    [
        (CORE + "ConfigMap", field(1, 5), "a message has the wrong wire type"),
        (CORE + "ConfigMap", field(2, 5), "a message has the wrong wire type"),
        (CORE + "ConfigMap", field(4, "x"), "a field of type boolean has the wrong wire type"),
        (CORE + "ConfigMap", entry(2, "k", b"\xff"), "a string is not UTF-8"),
        (META + "ObjectMeta", field(1, 5), "a message has the wrong wire type"),
        (META + "ObjectMeta", field(7, "x"), "a field of type integer has the wrong wire type"),
        (META + "ObjectMeta", b"\x39" + bytes(8), "a field of type integer has the wrong wire"),
        (META + "ObjectMeta", field(8, field(1, "x")), "type integer has the wrong wire type"),
        (CORE + "PodSpec", field(2, 5), "a message has the wrong wire type"),
        (CORE + "Volume", field(2, 5), "a message has the wrong wire type"),
        (CORE + "TCPSocketAction", field(1, field(2, "x")), "type integer has the wrong wire"),
    ],
)
def test_a_field_of_another_type_is_refused(definition: str, raw: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        decode(definition, raw)


def test_a_definition_without_this_form_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        decode("io.k8s.api.core.v1.PodList", b"")
    with pytest.raises(KeyError):
        decode("io.k8s.api.core.v1.Nothing", b"")


# JSON schemas in CustomResourceDefinitions


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"\x49" + struct.pack("<d", 1.5), {"maximum": 1.5}),
        (b"\x49" + struct.pack("<d", 2.0), {"maximum": 2}),
        (b"\x59" + struct.pack("<d", 0.0), {"minimum": 0}),
        (field(24, field(1, field(5, "string"))), {"items": {"type": "string"}}),
        (field(24, field(2, field(5, "a")) + field(2, b"")), {"items": [{"type": "a"}, {}]}),
        (field(30, field(1, 0)), {"additionalProperties": False}),
        (field(30, field(1, 1)), {"additionalProperties": True}),
        (field(30, field(1, 1) + field(2, field(5, "a"))), {"additionalProperties": {"type": "a"}}),
        (entry(32, "k", field(2, "x") + field(2, "y")), {"dependencies": {"k": ["x", "y"]}}),
        (entry(32, "k", field(1, field(5, "a"))), {"dependencies": {"k": {"type": "a"}}}),
        (field(8, field(1, b"[1]")), {"default": [1]}),
        (field(38, 0), {"x-kubernetes-preserve-unknown-fields": False}),
        (field(40, 0), {}),
    ],
)
def test_a_schema_is_read_and_written(raw: bytes, found: dict[str, Any]) -> None:
    assert decode(SCHEMA_PROPS, raw) == found
    if found:
        assert message(SCHEMA_PROPS)(found) == raw


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_refused(number: float) -> None:
    with pytest.raises(Malformed, match="has no form in JSON"):
        decode(SCHEMA_PROPS, b"\x49" + struct.pack("<d", number))


def test_a_number_of_another_wire_type_is_refused() -> None:
    with pytest.raises(Malformed, match="a field of type number has the wrong wire type"):
        decode(SCHEMA_PROPS, field(9, "x"))


# Writing


@pytest.mark.parametrize(
    ("definition", "document", "raw"),
    [
        (
            CORE + "ConfigMap",
            {"data": {"k": "v"}, "immutable": False},
            entry(2, "k", "v") + field(4, 0),
        ),
        (CORE + "ConfigMap", {"binaryData": {"k": "AP8="}}, entry(3, "k", b"\x00\xff")),
        (CORE + "ConfigMap", {"kind": "ConfigMap", "unknown": 1, "data": None}, b""),
        (META + "ObjectMeta", {"generation": 300}, field(7, 300)),
        (META + "ObjectMeta", {"name": "x" * 128}, field(1, "x" * 128)),
        (
            META + "ObjectMeta",
            {"creationTimestamp": "1970-01-01T00:00:07Z"},
            field(8, field(1, 7) + field(2, 0)),
        ),
        (
            META + "ObjectMeta",
            {"creationTimestamp": "1969-12-31T23:59:59Z"},
            field(8, field(1, -1) + field(2, 0)),
        ),
        (
            LEASE + "Spec",
            {"renewTime": "1970-01-01T00:00:01.000005Z"},
            field(4, field(1, 1) + field(2, 5000)),
        ),
        (
            CORE + "TCPSocketAction",
            {"port": 80},
            field(1, field(1, 0) + field(2, 80) + field(3, "")),
        ),
        (
            CORE + "TCPSocketAction",
            {"port": "http"},
            field(1, field(1, 1) + field(2, 0) + field(3, "http")),
        ),
        (
            CORE + "TCPSocketAction",
            {"port": -1},
            field(1, field(1, 0) + field(2, -1) + field(3, "")),
        ),
        (CORE + "ResourceRequirements", {"limits": {"cpu": "5m"}}, entry(1, "cpu", field(1, "5m"))),
        (CORE + "Container", {"command": ["sh", ""]}, field(3, "sh") + field(3, "")),
        (CORE + "PodSecurityContext", {"supplementalGroups": [1, 0]}, field(4, 1) + field(4, 0)),
        (
            REVIEW,
            {"spec": {"extra": {"s": ["a", "b"]}}},
            field(2, entry(5, "s", field(1, "a") + field(1, "b"))),
        ),
        (CORE + "Volume", {"name": "v", "emptyDir": {}}, field(1, "v") + field(2, field(2, b""))),
        (META + "ManagedFieldsEntry", {"fieldsV1": {"f:a": {}}}, field(7, field(1, b'{"f:a":{}}'))),
    ],
)
def test_what_is_written(definition: str, document: dict[str, Any], raw: bytes) -> None:
    assert message(definition)(document) == raw


def test_what_is_written_stands_in_an_envelope() -> None:
    meta = field(1, "v1") + field(2, "ConfigMap")
    body = field(2, entry(2, "k", "v"))
    document = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}}
    assert encode(document) == MAGIC + field(1, meta) + body + field(3, "") + field(4, "")


def test_a_list_is_written_item_by_item() -> None:
    items = [{"data": {"a": "b"}}, {}]
    head = {"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "5"}}
    inside = field(1, field(2, "5")) + field(2, entry(2, "a", "b")) + field(2, b"")
    assert unwrap(encode({**head, "items": items})) == Unknown("v1", "ConfigMapList", inside)


@pytest.mark.parametrize("kind", ["PodMetrics", "PodMetricsList", "Widget"])
def test_a_kind_without_this_form_is_a_key_error_when_it_is_written(kind: str) -> None:
    head = {"apiVersion": "metrics.k8s.io/v1beta1", "kind": kind, "metadata": {}}
    with pytest.raises(KeyError):
        encode({**head, "items": []})


def test_every_kind_that_is_served_can_be_written() -> None:
    for kind in builtin.all():
        for version in kind.versions:
            found = definition_of(kind.api_version(version.name), kind.name)
            assert found == version.definition


# The table of numbers


def test_a_line_of_the_table_says_name_number_and_what_zero_means() -> None:
    found = numbers.of(CORE + "Volume")
    assert found == {
        1: numbers.Numbered("name", "", False),
        2: numbers.Numbered("", CORE + "VolumeSource", False),
    }
    config_map = numbers.of(CORE + "ConfigMap")
    assert config_map is not None
    assert config_map[4] == numbers.Numbered("immutable", "", True)
    assert numbers.of("api.core.v1.Volume") == found
    assert numbers.of("io.k8s.api.core.v1.Nothing") is None
    assert numbers.of("") is None


def _children(node: Node) -> Iterator[Node]:
    for child in node.fields.values():
        for found in (child, child.items, child.values):
            if found is not None:
                yield found


def definitions() -> Iterator[tuple[str, Node]]:
    """Every definition that has numbers and stands in the schema by itself."""
    for line in numbers.FILE.read_text().splitlines():
        name = "io.k8s." + line.split(" ")[0]
        try:
            yield name, schema.builtin().definition(name)
        except KeyError:
            continue  # embedded: its fields are those of its parents


def test_every_field_in_the_table_has_a_type_that_is_read() -> None:
    for name, node in definitions():
        for child in _children(node):
            assert child.type in READ, (name, child.type)


@pytest.mark.parametrize(("levels", "refused"), [(DEEPEST, False), (DEEPEST + 1, True)])
def test_a_kind_that_holds_itself_nests_as_deep_as_json_does(levels: int, refused: bool) -> None:
    raw = field(1, "last")
    for _ in range(levels):
        raw = field(9, raw)
    if refused:
        with pytest.raises(Malformed, match="the message nests too deep"):
            decode(NESTING, raw)
        return
    document = decode(NESTING, raw)
    for _ in range(levels):
        (document,) = document["compositePodGroupTemplates"]
    assert document == {"name": "last"}
