"""What can be said of simulated nodes and pods, and where a mistake stands."""

from __future__ import annotations

import json

import msgspec
import pytest

from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.node.simulated.behaviour import NO_RULES, NOTHING, Script
from steersman.node.simulated.behaviour_file import BadFile, parse
from steersman.node.simulated.reading import (
    BEHAVIOUR,
    MOST_BYTES,
    MOST_RULES,
    BadBehaviour,
    is_dead,
    parse_rules,
    rules_of,
    script_of,
)

WHOLE = b"""
nodes:
  dieAfter: 1d
pods:
- match: {app: web}
  namespace: shop
  startAfter: 3s
  readyAfter: 1m
  crashAfter: 1h30m
  exitCode: 3
- match: {app: web}
  neverReady: true
- runFor: 10s
  stopAfter: 2s
  pullFails: no such host
  evictAfter: 10m
"""


def pod(labels: dict[str, str], namespace: str = "shop", **annotations: str) -> Pod:
    marks = {f"steersman.dev/{key.replace('_', '-')}": text for key, text in annotations.items()}
    metadata = {"name": "p", "namespace": namespace, "labels": labels, "annotations": marks}
    return msgspec.convert({"metadata": metadata}, Pod)


def node(**annotations: str) -> Node:
    marks = {f"steersman.dev/{key}": text for key, text in annotations.items()}
    return msgspec.convert({"metadata": {"name": "n", "annotations": marks}}, Node)


def test_of_several_rules_the_first_that_takes_a_pod_counts() -> None:
    rules = parse_rules(parse(WHOLE))
    assert rules.die_after == 86400
    first = Script(start_after=3, ready_after=60, crash_after=5400, exit_code=3)
    assert rules.of(pod({"app": "web", "b": "c"})) == first
    assert rules.of(pod({"app": "web"}, "other")) == Script(never_ready=True)
    last = Script(run_for=10, stop_after=2, pull_fails="no such host", evict_after=600)
    assert rules.of(pod({})) == last
    assert parse_rules({"pods": []}).of(pod({})) is NOTHING


def test_a_file_of_json_says_the_same_and_an_empty_one_nothing() -> None:
    document = parse(WHOLE)
    assert parse(json.dumps(document).encode()) == document
    assert rules_of(node(behaviour=json.dumps(document))) == parse_rules(document)
    assert parse_rules(parse(b"# nothing\n---\n")) == rules_of(node()) == NO_RULES


def test_a_pods_annotations_say_more_than_its_nodes_rules() -> None:
    said = script_of(pod({}, crash_after="30s", exit_code="7", never_ready="true", run_for="1m"))
    assert said == Script(crash_after=30, exit_code=7, never_ready=True, run_for=60)
    rule = Script(crash_after=5, start_after=9, never_ready=False)
    assert said.over(rule) == Script(
        crash_after=30, exit_code=7, never_ready=True, run_for=60, start_after=9
    )
    assert script_of(pod({})) is NOTHING


@pytest.mark.parametrize(
    ("annotations", "why"),
    [
        ({"crash_after": "soon"}, "steersman.dev/crash-after: 'soon' is no duration"),
        ({"exit_code": "256"}, "steersman.dev/exit-code: '256' is no exit code"),
        ({"exit_code": "-1"}, "steersman.dev/exit-code: '-1' is no exit code"),
        ({"never_ready": "yes"}, "steersman.dev/never-ready: 'yes' is neither true nor false"),
        ({"pull_fails": ""}, "steersman.dev/pull-fails: a text of 1 to 1024 characters"),
    ],
)
def test_an_annotation_that_cannot_be_is_named(annotations: dict[str, str], why: str) -> None:
    with pytest.raises(BadBehaviour, match=why):
        script_of(pod({}, **annotations))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"pods:\n- runFor: 10s\n- crashAfter: soon\n", r"line 3: pods\[1\].crashAfter: 'soon' is"),
        (b"pods:\n- runFor: 10\n", r"line 2: pods\[0\].runFor: 10 is no duration"),
        (
            b"nodes: {}\npods:\n-\n  exitCode: true\n",
            r"line 4: pods\[0\].exitCode: True is no exit",
        ),
        (b"pods:\n- crash: 1s\n", r"line 2: pods\[0\].crash: there is no such field, but match, "),
        (b"pod:\n- crash: 1s\n", "line 1: pod: there is no such field, but nodes, pods"),
        (b"\nnodes:\n  dieAfter: never\n", "line 3: nodes.dieAfter: 'never' is no duration"),
        (b"\npods: 3\n", "line 2: pods: a list of rules stands here"),
        (b"- a\n", "line 1: fields with values stand here"),
        (b"pods:\n- match: {a: 1}\n", r"line 2: pods\[0\].match.a: 1 is no label's value, a text"),
        (b"pods:\n- match: [a]\n", r"line 2: pods\[0\].match: fields with values stand here"),
        (b"pods:\n- 3\n", r"line 2: pods\[0\]: fields with values stand here"),
        (b"pods:\n  - {\n", "line 3: "),
        (b"pods: []\npods: []\n", 'line 2: key "pods" already set in map'),
        (b"pods: []\n---\npods: []\n", "it holds 2 documents, one is wanted"),
        (b"\xff", "invalid leading UTF-8 octet"),
        (b"#" * (MOST_BYTES + 1), f"it is longer than {MOST_BYTES} bytes"),
        (b"pods: [" + b"{}," * (MOST_RULES + 1) + b"]", f"there are more than {MOST_RULES} rules"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_its_line(text: bytes, why: str) -> None:
    with pytest.raises(BadFile, match=why):
        parse(text)


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"pods": 3}', "[" * 100_000, "x" * 70_000])
def test_a_nodes_annotation_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(BadBehaviour):
        rules_of(node(behaviour=text))


def test_a_node_is_dead_where_it_is_said_so() -> None:
    assert BEHAVIOUR == "steersman.dev/behaviour"
    assert is_dead(node(dead="true"))
    assert not is_dead(node(dead="false"))
    assert not is_dead(node())
