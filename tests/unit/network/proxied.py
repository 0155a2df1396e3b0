"""Services and EndpointSlices as tests of the proxy write them, and what is planned of them."""

from __future__ import annotations

from typing import Any

import msgspec

from steersman.model.kinds.endpointslice import EndpointSlice
from steersman.model.kinds.service import Service
from steersman.network.planning import Where, plan_ports
from steersman.network.service_port import ServicePort

ADDRESS = "10.96.0.10"


def service(*ports: dict[str, Any], labels: Any = (), status: Any = None, **spec: Any) -> Service:
    document = {
        "metadata": {"namespace": "default", "name": "web", "labels": dict(labels)},
        "spec": {"clusterIP": ADDRESS, "ports": list(ports) or [{"port": 80}], **spec},
        "status": status or {},
    }
    return msgspec.convert(document, Service)


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


def slice_of(*endpoints: dict[str, Any], **fields: Any) -> EndpointSlice:
    document = {
        "metadata": {
            "namespace": "default",
            "name": "web-1",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": list(endpoints),
        **fields,
    }
    return msgspec.convert(document, EndpointSlice)


def planned(
    found: Service, *slices: EndpointSlice, node: str = "", zone: str = ""
) -> list[ServicePort]:
    return list(plan_ports(found, slices, Where(node, zone)))


def behind(found: Service, *slices: EndpointSlice) -> list[str]:
    """The endpoints of a Service's one port."""
    (port,) = planned(found, *slices)
    return [f"{one.address}:{one.port}" for one in port.endpoints]
