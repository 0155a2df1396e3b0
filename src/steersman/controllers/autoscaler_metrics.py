"""Reads what metrics an autoscaler wants from the APIs that have them: metrics.k8s.io,
custom.metrics.k8s.io, external.metrics.k8s.io. Errors are in client-go's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.controllers.autoscaler_replicas import NoProposal, Sample
from steersman.model.errors import APIError, NotFound
from steersman.model.quantity import QuantityError, parse
from steersman.model.selectors import Selector
from steersman.model.times import seconds
from steersman.model.view import Object, View

RESOURCE: Final = "metrics.k8s.io"
CUSTOM: Final = "custom.metrics.k8s.io"
EXTERNAL: Final = "external.metrics.k8s.io"
_NOT_FOUND: Final = "the server could not find the requested resource"
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class _Container(View, frozen=True):
    name: str = ""
    usage: Mapping[str, str] = {}


class _PodMetrics(Object, frozen=True):
    timestamp: datetime | None = None
    window: str = ""
    containers: tuple[_Container, ...] = ()


class _PodMetricsList(View, frozen=True):
    items: tuple[_PodMetrics, ...] | None = ()


class _Described(View, frozen=True):
    name: str = ""


class _Value(View, frozen=True):
    """An item of a MetricValueList (custom) or an ExternalMetricValueList."""

    value: str = ""
    timestamp: datetime | None = None
    window_seconds: float | None = None
    described_object: _Described = _Described()


class _Values(View, frozen=True):
    items: tuple[_Value, ...] | None = ()


class _Version(View, frozen=True):
    version: str = ""


class _Group(View, frozen=True):
    preferred_version: _Version = _Version()


T = TypeVar("T")


class Metrics:
    """See the module; every failure is a NoProposal."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of_resource(
        self, namespace: str, selector: Selector, resource: str, container: str = ""
    ) -> dict[str, Sample]:
        """Returns what pods use of a resource, all of their containers or one."""
        path = f"/apis/{RESOURCE}/v1beta1/namespaces/{quote(namespace)}/pods"
        words = ("resource", f"get pods.{RESOURCE}")
        found = await self._read(path, {"labelSelector": str(selector)}, _PodMetricsList, words)
        items = found.items or ()
        if not items:
            raise NoProposal("no metrics returned from resource metrics API")
        samples = ((pod, _used(pod, resource, container)) for pod in items)
        return {
            pod.metadata.name: Sample(used, seconds(pod.timestamp), duration(pod.window))
            for pod, used in samples
            if used is not None
        }

    async def of_pods(
        self, namespace: str, selector: Selector, name: str, narrowed: Selector
    ) -> dict[str, Sample]:
        """Returns a custom metric of pods."""
        path = f"namespaces/{quote(namespace)}/pods/*/{quote(name, safe='')}"
        items = await self._custom(path, str(selector), narrowed)
        if not items:
            raise NoProposal("no metrics returned from custom metrics API")
        return {
            one.described_object.name: Sample(
                milli(one.value, "custom"),
                seconds(one.timestamp),
                60.0 if one.window_seconds is None else one.window_seconds,
            )
            for one in items
        }

    async def of_object(
        self, namespace: str, resource: str, object_name: str, name: str, narrowed: Selector
    ) -> int:
        """Returns a custom metric of one object, in thousandths; `resource` is PLURAL.GROUP."""
        place = f"namespaces/{quote(namespace)}/{quote(resource)}/{quote(object_name, safe='')}"
        if resource == "namespaces":
            place = f"namespaces/{quote(namespace)}/metrics"
        items = await self._custom(f"{place}/{quote(name, safe='')}", "", narrowed)
        if len(items) != 1:
            why = f"returned {len(items)} results when we asked for exactly one"
            raise NoProposal(_unable("custom", f"the custom metrics API server {why}"))
        return milli(items[0].value, "custom")

    async def external(self, namespace: str, name: str, narrowed: Selector) -> int:
        """Returns the sum of an external metric, in thousandths."""
        place = f"namespaces/{quote(namespace)}/{quote(name, safe='')}"
        words = ("external", f"get {name}.{EXTERNAL}")
        query = {"labelSelector": str(narrowed)} if str(narrowed) else {}
        found = await self._read(f"/apis/{EXTERNAL}/v1beta1/{place}", query, _Values, words)
        if not found.items:
            raise NoProposal("no metrics returned from external metrics API")
        return sum(milli(one.value, "external") for one in found.items)

    async def _custom(self, path: str, labels: str, narrowed: Selector) -> tuple[_Value, ...]:
        group = await self._group()
        chosen = {"labelSelector": labels, "metricLabelSelector": str(narrowed)}
        query = {key: text for key, text in chosen.items() if text}
        words = ("custom", f"get {path.rpartition('/')[2]}.{CUSTOM}")
        version = quote(group.preferred_version.version)
        found = await self._read(f"/apis/{CUSTOM}/{version}/{path}", query, _Values, words)
        return found.items or ()

    async def _group(self) -> _Group:
        try:
            return msgspec.convert(await self._client.read(f"/apis/{CUSTOM}"), _Group)
        except NotFound:
            why = f"no custom metrics API ({CUSTOM}) registered"
            raise NoProposal(_unable("custom", why)) from None
        except (APIError, Unreachable, msgspec.ValidationError) as error:
            raise NoProposal(_unable("custom", str(error))) from None

    async def _read(
        self, path: str, query: Mapping[str, str], kind: type[T], words: tuple[str, str]
    ) -> T:
        api, asked = words
        try:
            return msgspec.convert(await self._client.read(path, query), kind)
        except NotFound:
            raise NoProposal(_unable(api, f"{_NOT_FOUND} ({asked})")) from None
        except (APIError, Unreachable, msgspec.ValidationError) as error:
            raise NoProposal(_unable(api, str(error))) from None


def _unable(api: str, why: str) -> str:
    return f"unable to fetch metrics from {api} metrics API: {why}"


def _used(pod: _PodMetrics, resource: str, container: str) -> int | None:
    """Returns what a pod uses, None where one of its containers does not say."""
    found = [one for one in pod.containers if container in ("", one.name)]
    if container and not found:
        where = f"{pod.metadata.namespace}/{pod.metadata.name}"
        why = f"container {container} not present in metrics for pod {where}"
        raise NoProposal(f"failed to get container metrics: {why}")
    amounts = [one.usage.get(resource) for one in found]
    if not amounts or None in amounts:
        return None
    return sum(milli(text, "resource") for text in amounts if text is not None)


def milli(text: str, api: str) -> int:
    """Returns a quantity of another server in thousandths; raises NoProposal."""
    try:
        return parse(text).milli()
    except QuantityError as error:
        raise NoProposal(_unable(api, str(error))) from None


def duration(text: str) -> float:
    """Returns a Go duration in seconds; what is none counts as a minute, metrics-server's own."""
    total, number, unit = 0.0, "", ""
    for sign in f"{text}0":
        if unit and (sign.isdigit() or sign == "."):
            if unit not in _UNITS or not number.replace(".", "", 1).isdigit():
                return 60.0
            total, number, unit = total + float(number) * _UNITS[unit], "", ""
        if sign.isdigit() or sign == ".":
            number += sign
        else:
            unit += sign
    return total or 60.0


def shown(selector: Mapping[str, Any] | None) -> str:
    """Returns a label selector as Go prints it: it stands in messages."""
    if selector is None:
        return "nil"
    labels: Mapping[str, str] = selector.get("matchLabels") or {}
    pairs = "".join(f"{key}: {labels[key]}," for key in sorted(labels))
    found = "".join(
        f"LabelSelectorRequirement{{Key:{one.get('key', '')},Operator:{one.get('operator', '')},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    ).replace("LabelSelectorRequirement{", "{")
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{pairs}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{found}}},}}"
    )
