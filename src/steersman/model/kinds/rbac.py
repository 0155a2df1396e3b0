"""Role, ClusterRole, RoleBinding and ClusterRoleBinding: views and life in the API."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import field

from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME
from steersman.model.types.selector import LabelSelector
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
        view=view,
        columns=_BINDING_COLUMNS if name.endswith("Binding") else (),
        complete=True,
        create_on_update=True,
    )


ROLE = _kind("Role", True, Role)
CLUSTERROLE = _kind("ClusterRole", False, ClusterRole)
ROLEBINDING = _kind("RoleBinding", True, RoleBinding)
CLUSTERROLEBINDING = _kind("ClusterRoleBinding", False, ClusterRoleBinding)
