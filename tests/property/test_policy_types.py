"""Whatever expressions a policy holds, checking them against types gives warnings and nothing else:
it runs beside the server's other work, which an error would end."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hostile import VALUES
from steersman.api.admission.policies.type_check import warnings
from steersman.model.builtin import Registry

REGISTRY = Registry()
EXTENSIONS = "apiextensions.k8s.io"
FIELDS = (
    *("spec", "metadata", "replicas", "template", "containers", "image", "labels", "status", "x"),
    *(
        "resources",
        "limits",
        "ports",
        "name",
        "maxSurge",
        "creationTimestamp",
        "data",
        "conditions",
    ),
)
ROOTS = (
    *("object", "oldObject", "params", "request", "namespaceObject", "variables", "authorizer"),
    *("1", "1u", "1.5", "'a'", "b'a'", "null", "true", "[]", "{}", "[1, 'a']", "{'a': 1}", "self"),
)
_UNARY = ("!{0}", "-{0}", "size({0})", "has({0})", "string({0})", "int({0})", "type({0})")
_UNARY += ("{0}.all(v, v == {0})", "{0}.map(v, v.name)", "{0}.exists(v, v in {0})", "[{0}][0]")
_UNARY += (
    "{0}.filter(v, true)",
    "timestamp({0})",
    "quantity({0})",
    "{0}.?a.orValue(1)",
    "dyn({0})",
)
_UNARY += (
    "{0}['a']",
    "{0}[0]",
    "{0}.startsWith('a')",
    "duration({0})",
    "{0}.matches('(')",
    "dyn({0})",
)
_BINARY = ("{0} + {1}", "{0} == {1}", "{0} < {1}", "{0} in {1}", "{0} && {1}", "{0} ? {1} : {0}")
_BINARY += ("{0}[{1}]", "{{{0}: {1}}}", "[{0}, {1}]", "{0}.contains({1})", "{0}.join({1})")

EXPRESSIONS = st.recursive(
    st.sampled_from(ROOTS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(FIELDS)).map(".".join),
        st.tuples(st.sampled_from(_UNARY), inner).map(lambda it: it[0].format(it[1])),
        st.tuples(st.sampled_from(_BINARY), inner, inner).map(lambda it: it[0].format(*it[1:])),
    ),
    max_leaves=6,
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "apiGroups": st.lists(
            st.sampled_from(("", "apps", "*", "apiextensions.k8s.io")), max_size=2
        ),
        "apiVersions": st.lists(st.sampled_from(("v1", "*", "v9")), max_size=2),
        "resources": st.lists(
            st.sampled_from(
                ("pods", "deployments", "configmaps", "customresourcedefinitions", "*", "pods/log")
            ),
            max_size=4,
        ),
    },
)
NAMED = st.fixed_dictionaries({"name": st.sampled_from(("a", "b")), "expression": EXPRESSIONS})
VALIDATIONS = st.fixed_dictionaries(
    {"expression": EXPRESSIONS}, optional={"messageExpression": EXPRESSIONS}
)
SPECS = st.fixed_dictionaries(
    {
        "matchConstraints": st.fixed_dictionaries(
            {"resourceRules": st.lists(RULES, min_size=1, max_size=3)}
        ),
        "validations": st.lists(VALIDATIONS, min_size=1, max_size=4),
    },
    optional={
        "variables": st.lists(NAMED, max_size=2),
        "paramKind": st.fixed_dictionaries(
            {
                "apiVersion": st.sampled_from(("v1", "apps/v1", "x/y/z", "")),
                "kind": st.sampled_from(("ConfigMap", "Deployment", "X", "")),
            }
        ),
    },
)


@settings(max_examples=60)
@given(SPECS)
def test_any_expressions_give_warnings(spec: Any) -> None:
    for found in warnings({"spec": spec}, REGISTRY):
        assert found["fieldRef"].startswith("spec.validations[")
        assert ", Kind=" in found["warning"]


@settings(max_examples=30)
@given(st.text(max_size=30), VALUES)
def test_any_text_gives_warnings(text: str, value: Any) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    for expression in (text, str(value)):
        validation = {"expression": expression}
        spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}
        assert isinstance(warnings({"spec": spec}, REGISTRY), list)
