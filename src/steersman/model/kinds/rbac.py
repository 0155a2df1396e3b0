"""Role, ClusterRole, RoleBinding and ClusterRoleBinding: views and life in the API."""

from __future__ import annotations

from msgspec import field

from steersman.model.kind import Kind, Version
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


def _kind(name: str, namespaced: bool, view: type[Object]) -> Kind:
    return Kind(
        group=GROUP,
        name=name,
        plural=f"{name.lower()}s",
        namespaced=namespaced,
        versions=(Version("v1", f"io.k8s.api.rbac.v1.{name}"),),
        storage="v1",
        view=view,
        complete=True,
        create_on_update=True,
    )


ROLE = _kind("Role", True, Role)
CLUSTERROLE = _kind("ClusterRole", False, ClusterRole)
ROLEBINDING = _kind("RoleBinding", True, RoleBinding)
CLUSTERROLEBINDING = _kind("ClusterRoleBinding", False, ClusterRoleBinding)
