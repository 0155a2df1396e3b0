"""What webhooks and policies of admission have in common: their typed forms."""

from __future__ import annotations

from steersman.model.types.selector import LabelSelector
from steersman.model.view import View


class Rule(View, frozen=True):
    """Requests by operation and resource; `*` stands for all."""

    operations: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    scope: str = "*"


class NamedRule(View, frozen=True):
    """A rule, for objects of some names where any are given."""

    operations: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    scope: str = "*"


class MatchCondition(View, frozen=True):
    """An expression of CEL that must hold."""

    name: str = ""
    expression: str = ""


class MatchResources(View, frozen=True):
    """Which requests a policy is about."""

    namespace_selector: LabelSelector = LabelSelector()
    object_selector: LabelSelector = LabelSelector()
    resource_rules: tuple[NamedRule, ...] = ()
    exclude_resource_rules: tuple[NamedRule, ...] = ()
    match_policy: str = "Equivalent"


class ParamKind(View, frozen=True):
    """The kind of a policy's parameters."""

    api_version: str = ""
    kind: str = ""


class ParamRef(View, frozen=True):
    """The parameters of a binding: by name or by labels."""

    name: str = ""
    namespace: str = ""
    selector: LabelSelector | None = None
    parameter_not_found_action: str | None = None


class Variable(View, frozen=True):
    """A named expression that others can use."""

    name: str = ""
    expression: str = ""
