"""What a Service uses of a quota: itself, its ports of nodes, its load balancer
(pkg/quota/v1/evaluator/core/services)."""

from __future__ import annotations

from typing import Final

from steersman.model.kinds.service import Service
from steersman.model.quantity import NANO, Quantity
from steersman.model.types.resources import Amounts

COUNT: Final = "count/services"
_NAMES: Final = frozenset((COUNT, "services", "services.nodeports", "services.loadbalancers"))


def measures(name: str) -> bool:
    """Says whether a bound of this name is one on Services."""
    return name in _NAMES


def usage(service: Service) -> Amounts:
    """Returns what a Service uses. Ports that will be given count before they are."""
    one, spec = Quantity(NANO), service.spec
    used = {COUNT: one, "services": one}
    ports = len(spec.ports) if spec.type in ("NodePort", "LoadBalancer") else 0
    if spec.type == "LoadBalancer":
        used["services.loadbalancers"] = one
        if spec.allocate_load_balancer_node_ports is False:
            ports = sum(port.node_port != 0 for port in spec.ports)
    if ports:
        used["services.nodeports"] = Quantity(ports * NANO)
    return used
