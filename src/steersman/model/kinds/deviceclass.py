"""DeviceClass: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from steersman.model.causes import invalid
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME
from steersman.model.types.device import DeviceConfiguration, DeviceSelector
from steersman.model.types.device_check import (
    MOST_CONFIGURATIONS,
    check_configuration,
    check_list,
    check_selectors,
)
from steersman.model.types.metadata import check_metadata
from steersman.model.types.resource_check import is_extended
from steersman.model.view import Object, View


class DeviceClassSpec(View, frozen=True):
    """What devices belong to a class, and what their drivers are told."""

    selectors: tuple[DeviceSelector, ...] = ()
    config: tuple[DeviceConfiguration, ...] = ()
    extended_resource_name: str | None = None


class DeviceClass(Object, frozen=True):
    """resource.k8s.io/v1 DeviceClass."""

    spec: DeviceClassSpec = DeviceClassSpec()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    yield from check_selectors(spec, "spec")
    config = spec.get("config") or ()
    stored = old is not None and config == (before.get("config") or ())
    check = partial(check_configuration, stored=stored)
    yield from check_list(config, MOST_CONFIGURATIONS, check, "spec.config")
    name = spec.get("extendedResourceName")
    if name is not None and not is_extended(name):
        detail = "must be a valid extended resource name"
        yield invalid("spec.extendedResourceName", name, detail)


DEVICECLASS = Kind(
    group="resource.k8s.io",
    name="DeviceClass",
    plural="deviceclasses",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.resource.v1.DeviceClass", since=34),),
    storage="v1",
    columns=(NAME, AGE),
    check=_check,
    view=DeviceClass,
    spec_fields=("spec",),
    returns_deleted=True,
    complete=True,
)
