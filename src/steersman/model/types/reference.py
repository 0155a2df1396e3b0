"""References from one object to another: their typed forms."""

from __future__ import annotations

from steersman.model.view import View


class ObjectReference(View, frozen=True):
    """core/v1 ObjectReference."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class LocalObjectReference(View, frozen=True):
    """core/v1 LocalObjectReference: a name in the same namespace."""

    name: str = ""


class SecretReference(View, frozen=True):
    """core/v1 SecretReference: a Secret by namespace and name."""

    namespace: str = ""
    name: str = ""


class ObjectFieldSelector(View, frozen=True):
    """A field of the pod itself (downward API)."""

    field_path: str = ""
    api_version: str = "v1"


class ResourceFieldSelector(View, frozen=True):
    """A container's request or limit (downward API)."""

    resource: str = ""
    container_name: str = ""
    divisor: str | int | float = "0"


class KeySelector(View, frozen=True):
    """A key of a ConfigMap or Secret."""

    key: str = ""
    name: str = ""
    optional: bool = False


class FileKeySelector(View, frozen=True):
    """A key of an environment file in a volume."""

    volume_name: str = ""
    path: str = ""
    key: str = ""
    optional: bool = False
