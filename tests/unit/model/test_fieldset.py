"""Field sets: their form in managedFields, their order, their algebra."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.model.fields.fieldset import FieldSet, FieldSetError, of_paths, parse, text_of

MAIN = 'k:{"name":"main"}'
DOCUMENT = {
    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
    "f:spec": {
        "f:containers": {MAIN: {".": {}, "f:image": {}, "f:name": {}}},
        "f:replicas": {},
        "f:finalizers": {'v:"a"': {}, "v:1": {}},
    },
}


def test_a_set_is_printed_as_it_was_read() -> None:
    assert parse(DOCUMENT).tree == DOCUMENT
    assert not parse({})


def test_a_lone_dot_is_the_node_itself() -> None:
    assert parse({"f:a": {".": {}}}) == parse({"f:a": {}})
    assert ("f:a",) in parse({"f:a": {".": {}}})
    assert parse({".": {}}).tree == {}


def test_a_node_with_children_is_a_member_only_with_a_dot() -> None:
    fields = parse(DOCUMENT)
    assert ("f:metadata", "f:labels") in fields
    assert ("f:metadata",) not in fields
    assert ("f:metadata", "f:labels", "f:app") in fields
    assert ("f:metadata", "f:labels", "f:none") not in fields
    assert ("f:none", "f:x") not in fields
    assert () not in fields


def test_keys_are_read_whatever_the_order_and_spaces() -> None:
    written = {'k:{"protocol": "TCP", "containerPort":80}': {}}
    assert parse(written).tree == {'k:{"containerPort":80,"protocol":"TCP"}': {}}


def test_elements_of_unknown_kinds_are_left_out() -> None:
    assert parse({"x:a": {}, "f:b": {}}).tree == {"f:b": {}}


REFUSED: list[tuple[Any, str]] = [
    ([], "expected an object, but received []"),
    ({"f:a": 1}, "expected an object, but received 1"),
    ({"f": {}}, "key must be 2 characters long:"),
    ({"fab": {}}, "missing colon: fab"),
    ({"k:[1]": {}}, "invalid key: k:[1]"),
    ({"i:x": {}}, "i:x: "),
    ({"i:true": {}}, "invalid index: i:true"),
    ({"v:{": {}}, "v:{: "),
]


@pytest.mark.parametrize(("document", "message"), REFUSED)
def test_what_is_no_set_is_refused(document: Any, message: str) -> None:
    with pytest.raises(FieldSetError) as caught:
        parse(document)
    assert str(caught.value).startswith(message)


def test_a_set_that_nests_without_end_is_refused() -> None:
    document: dict[str, Any] = {}
    for _ in range(200):
        document = {"f:a": document}
    with pytest.raises(FieldSetError, match="nests deeper"):
        parse(document)
    for levels, taken in ((100, True), (101, False)):
        document = {}
        for _ in range(levels):
            document = {"f:a": document}
        if taken:
            assert parse(document)
            continue
        with pytest.raises(FieldSetError):
            parse(document)


def test_paths_come_in_upstreams_order_members_first() -> None:
    fields = parse(
        {
            "i:2": {},
            "v:true": {},
            'v:"a"': {},
            "v:3": {},
            'k:{"name":"b"}': {},
            'k:{"name":"a"}': {},
            "f:z": {},
            "f:b": {".": {}, "f:c": {}},
            "f:a": {"f:d": {}},
        }
    )
    assert [text_of(path) for path in fields] == [
        ".b", ".z", '[name="a"]', '[name="b"]', "[=3]", '[="a"]', "[=true]", "[2]", ".a.d", ".b.c",
    ]  # fmt: skip
    assert len(fields) == 10


def test_paths_read_as_in_upstreams_messages() -> None:
    port = 'k:{"containerPort":80,"protocol":"TCP"}'
    path = ("f:spec", "f:containers", MAIN, "f:ports", port, "f:name")
    text = '.spec.containers[name="main"].ports[containerPort=80,protocol="TCP"].name'
    assert text_of(path) == text
    assert text_of(('k:{"a":null,"b":true}',)) == "[a=null,b=true]"


A, AB, AC = ("f:a",), ("f:a", "f:b"), ("f:a", "f:c")


def test_parents_and_children_are_members_of_their_own() -> None:
    whole = of_paths(A, AB, AC)
    assert whole.tree == {"f:a": {".": {}, "f:b": {}, "f:c": {}}}
    assert (whole - of_paths(A)).tree == {"f:a": {"f:b": {}, "f:c": {}}}
    assert (whole - of_paths(AB)).tree == {"f:a": {".": {}, "f:c": {}}}
    assert (whole - of_paths(AB, AC)).tree == {"f:a": {}}
    assert (of_paths(A) - of_paths(AB)).tree == {"f:a": {}}
    assert not of_paths(AB) - of_paths(AB)
    assert (whole & of_paths(A, AB)).tree == {"f:a": {".": {}, "f:b": {}}}
    assert (whole & of_paths(A)).tree == {"f:a": {}}
    assert (of_paths(A) | of_paths(AB)).tree == {"f:a": {".": {}, "f:b": {}}}
    assert (of_paths(AB) | of_paths(A)).tree == {"f:a": {".": {}, "f:b": {}}}


def test_a_recursive_difference_takes_what_is_below_too() -> None:
    whole = of_paths(A, AB, ("f:d",))
    assert whole.without(of_paths(A)) == of_paths(("f:d",))
    assert whole.without(of_paths(AB)) == of_paths(A, ("f:d",))


def test_what_does_not_change_is_shared() -> None:
    tree = of_paths(A, AB)
    assert (tree - of_paths(("f:x",), AC)).tree is tree.tree
    assert (tree | FieldSet()).tree is tree.tree
