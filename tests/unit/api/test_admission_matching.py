"""Which requests rules cover, as they are and as requests for another version."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.api.access.authorization import Attributes
from steersman.api.admission.asking.matching import Asked, Target, for_name, targets
from steersman.api.admission.asking.variables import _attributes
from steersman.cel.library.authorizer import Question
from steersman.model.builtin import Registry
from steersman.model.kind import Kind

KINDS = Registry()
RULE = {
    "operations": ["UPDATE"],
    "apiGroups": ["autoscaling"],
    "apiVersions": ["v1"],
    "resources": ["horizontalpodautoscalers"],
}


def scaler() -> Kind:
    kind = KINDS.by_resource("autoscaling", "v2", "horizontalpodautoscalers")
    assert kind is not None
    return kind


def found(*rules: dict[str, Any], equivalent: bool = True) -> tuple[Target, ...]:
    kind = scaler()
    version = kind.version("v2")
    assert version is not None
    return targets(rules, equivalent, Asked("UPDATE", kind, version, ""), KINDS)


def test_a_request_is_covered_in_another_version_for_the_names_of_its_rule() -> None:
    v1 = scaler().version("v1")
    assert v1 is not None
    assert found(RULE, equivalent=False) == ()
    assert found(RULE) == (Target(scaler(), v1),)
    named = found({**RULE, "resourceNames": ["web"]})
    assert named == (Target(scaler(), v1, ("web",)),)
    assert for_name(named, "web") is named[0]
    assert for_name(named, "db") is None


@pytest.mark.parametrize(
    "rule",
    [
        {"operations": ["CREATE"]},
        {"apiVersions": ["v3"]},
        {"resources": ["horizontalpodautoscalers/status"]},
        {"scope": "Cluster"},
        {"operations": None},
        {"resources": None},
    ],
)
def test_a_rule_that_does_not_cover_covers_no_version(rule: dict[str, Any]) -> None:
    assert found({**RULE, **rule}) == ()


def test_an_expression_asks_about_a_path_or_a_resource() -> None:
    asked = Attributes("get", path="/x", is_resource=False)
    assert _attributes(Question("get", path="/x")) == asked
    question = Question(
        "list",
        group="g",
        resource="r",
        subresource="s",
        namespace="n",
        name="a",
        field_selector="f=1",
        label_selector="l=1",
    )
    assert _attributes(question) == Attributes(
        "list", "g", "*", "r", "s", "n", "a", fields="f=1", labels="l=1"
    )
