"""Role, ClusterRole, RoleBinding and ClusterRoleBinding: views and life in the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import field

from steersman.model import names
from steersman.model.causes import each, invalid, not_supported, required
from steersman.model.errors import Cause
from steersman.model.kind import Check, Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME
from steersman.model.removed import Life, removed
from steersman.model.types.metadata import check_metadata
from steersman.model.types.selector import LabelSelector, check_selector
from steersman.model.view import Object, View

GROUP = "rbac.authorization.k8s.io"


class PolicyRule(View, frozen=True):
    """What may be done; `*` stands for everything."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = field(default=(), name="nonResourceURLs")


class AggregationRule(View, frozen=True):
    """Roles whose rules make up this one."""

    cluster_role_selectors: tuple[LabelSelector, ...] = ()


class Subject(View, frozen=True):
    """Who: a User, a Group or a ServiceAccount."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    api_group: str = ""


class RoleRef(View, frozen=True):
    """Which role."""

    api_group: str = ""
    kind: str = ""
    name: str = ""


class Role(Object, frozen=True):
    """rbac.authorization.k8s.io/v1 Role."""

    rules: tuple[PolicyRule, ...] = ()


class ClusterRole(Object, frozen=True):
    """rbac.authorization.k8s.io/v1 ClusterRole."""

    rules: tuple[PolicyRule, ...] = ()
    aggregation_rule: AggregationRule | None = None


class RoleBinding(Object, frozen=True):
    """rbac.authorization.k8s.io/v1 RoleBinding."""

    role_ref: RoleRef = RoleRef()
    subjects: tuple[Subject, ...] = ()


class ClusterRoleBinding(Object, frozen=True):
    """rbac.authorization.k8s.io/v1 ClusterRoleBinding."""

    role_ref: RoleRef = RoleRef()
    subjects: tuple[Subject, ...] = ()


def _check_role(namespaced: bool) -> Check:
    def check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
        yield from check_metadata(new, old, namespaced=namespaced, name=names.path_segment)
        for index, rule in enumerate(new.get("rules") or ()):
            yield from check_rule(rule, f"rules[{index}]", namespaced)
        aggregation = new.get("aggregationRule")
        if aggregation is not None:
            yield from _check_aggregation(aggregation, "aggregationRule.clusterRoleSelectors")
        for index, rule in enumerate(new.get("rules") or ()):
            if not rule.get("verbs"):  # declared by upstream's type: told last, in no words
                yield required(f"rules[{index}].verbs")

    return check


def _check_aggregation(rule: Document, path: str) -> Iterator[Cause]:
    selectors = rule.get("clusterRoleSelectors") or ()
    if not selectors:
        detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        yield required(path, detail)
    for index, selector in enumerate(selectors):
        if found := list(check_selector(selector, f"{path}[{index}]")):
            yield from found  # and upstream makes a selector of it, which fails as well
            yield invalid(f"{path}[{index}]", None, "invalid label selector.")


def check_rule(rule: Document, path: str, namespaced: bool) -> Iterator[Cause]:
    """Yields what is wrong with one rule of a role (ValidatePolicyRule)."""
    if urls := rule.get("nonResourceURLs"):
        where = f"{path}.nonResourceURLs"
        if namespaced:
            yield invalid(where, urls, "namespaced rules cannot apply to non-resource URLs")
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            yield invalid(where, urls, detail)
        return
    if not rule.get("apiGroups"):
        yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield required(f"{path}.resources", "resource rules must supply at least one resource")


def _check_binding(namespaced: bool) -> Check:
    def check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
        yield from check_metadata(new, old, namespaced=namespaced, name=names.path_segment)
        role = new.get("roleRef") or {}
        if role.get("apiGroup") != GROUP:
            yield not_supported("roleRef.apiGroup", role.get("apiGroup", ""), (GROUP,))
        kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
        if role.get("kind") not in kinds:
            yield not_supported("roleRef.kind", role.get("kind", ""), kinds)
        if name := role.get("name"):
            yield from each("roleRef.name", name, names.path_segment(name))
        for index, subject in enumerate(new.get("subjects") or ()):
            yield from _check_subject(subject, f"subjects[{index}]", namespaced)
        if old is not None and role != (old.get("roleRef") or {}):
            shown = {name: role.get(key, "") for name, key in _REFERENCE}
            yield invalid("roleRef", shown, "cannot change roleRef")
        # declared by upstream's types: told last
        for index, subject in enumerate(new.get("subjects") or ()):
            if not subject.get("name"):
                yield required(f"subjects[{index}].name")
        if not name:
            yield required("roleRef.name")

    return check


# as upstream's internal type prints
_REFERENCE = (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))


def _check_subject(subject: Document, path: str, namespaced: bool) -> Iterator[Cause]:
    kind, name = subject.get("kind", ""), subject.get("name", "")
    group = subject.get("apiGroup", "")
    if kind == "ServiceAccount":
        if name:
            yield from each(f"{path}.name", name, names.dns1123_subdomain(name))
        if group:
            yield not_supported(f"{path}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            yield required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            yield not_supported(f"{path}.apiGroup", group, (GROUP,))
    else:
        yield not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


def _role(binding: Document, _now: float) -> str:
    role = binding.get("roleRef") or {}
    return f"{role.get('kind', '')}/{role.get('name', '')}"


def _subjects(kind: str) -> Callable[[Document, float], str]:
    def value(binding: Document, _now: float) -> str:
        found = (one for one in binding.get("subjects") or () if one.get("kind") == kind)
        return ", ".join(_shown(one) for one in found)

    return value


def _shown(subject: Document) -> str:
    name = str(subject.get("name", ""))
    return f"{subject.get('namespace', '')}/{name}" if subject["kind"] == "ServiceAccount" else name


_BINDING_COLUMNS = (
    NAME,
    Column("Role", _role),
    AGE,
    Column("Users", _subjects("User"), priority=1, description="Users in the roleBinding"),
    Column("Groups", _subjects("Group"), priority=1, description="Groups in the roleBinding"),
    Column(
        "ServiceAccounts",
        _subjects("ServiceAccount"),
        priority=1,
        description="ServiceAccounts in the roleBinding",
    ),
)


def _kind(name: str, namespaced: bool, view: type[Object]) -> Kind:
    return Kind(
        group=GROUP,
        name=name,
        plural=f"{name.lower()}s",
        namespaced=namespaced,
        versions=(Version("v1", f"io.k8s.api.rbac.v1.{name}"),),
        storage="v1",
        former=(removed(f"{GROUP}/v1beta1", f"rbac.v1beta1.{name}", Life(17, 22, f"{GROUP}/v1")),),
        view=view,
        check=(_check_binding if name.endswith("Binding") else _check_role)(namespaced),
        name_check=names.path_segment,
        columns=_BINDING_COLUMNS if name.endswith("Binding") else (),
        complete=True,
        create_on_update=True,
    )


ROLE = _kind("Role", True, Role)
CLUSTERROLE = _kind("ClusterRole", False, ClusterRole)
ROLEBINDING = _kind("RoleBinding", True, RoleBinding)
CLUSTERROLEBINDING = _kind("ClusterRoleBinding", False, ClusterRoleBinding)
