"""Defaults of services, namespaces, nodes, limits, policies and definitions that depend on other
fields. Sources: pkg/apis/*/v1/defaults.go.

Each function changes the document it is given, which is of the right shape and whose parts already
have their own defaults.
"""

from __future__ import annotations

from typing import Final

from steersman.model.kind import Document

NAME_LABEL: Final = "kubernetes.io/metadata.name"
RBAC_GROUP: Final = "rbac.authorization.k8s.io"


def service_port(port: Document) -> None:
    """Sends to the port's own number where no target is given."""
    if not port.get("targetPort"):
        port["targetPort"] = port.get("port", 0)


def service_spec(spec: Document) -> None:
    """Completes affinity and traffic policies by the service's type."""
    affinity = spec["sessionAffinity"]
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        config = spec.get("sessionAffinityConfig", {}).get("clientIP", {})
        if "timeoutSeconds" not in config:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}}
    kind = spec["type"]
    outside = kind in ("NodePort", "LoadBalancer")
    outside = outside or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if outside and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def service(document: Document) -> None:
    """Says how a load balancer's address is used."""
    if document.get("spec", {}).get("type") == "LoadBalancer":
        balancer = document.get("status", {}).get("loadBalancer", {})
        for ingress in balancer.get("ingress", ()):
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")


def namespace(document: Document) -> None:
    """Labels a namespace with its name."""
    metadata = document.get("metadata", {})
    if name := metadata.get("name"):
        metadata.setdefault("labels", {})[NAME_LABEL] = name


def node_spec(spec: Document) -> None:
    """Has the range of a node's pods and the list of its ranges say the same; where they differ the
    single one counts (Convert_v1_NodeSpec_To_core_NodeSpec)."""
    one, many = spec.get("podCIDR"), spec.get("podCIDRs")
    if one and (not many or many[0] != one):
        spec["podCIDRs"] = [one]
    elif many:
        spec["podCIDR"] = many[0]


def pod_status(status: Document) -> None:
    """Does the same for the addresses of a pod (Convert_v1_PodStatus_To_core_PodStatus)."""
    one, many = status.get("podIP"), status.get("podIPs")
    if one and (not many or many[0].get("ip") != one):
        status["podIPs"] = [{"ip": one}]
    elif many and many[0].get("ip"):
        status["podIP"] = many[0]["ip"]


def node_status(status: Document) -> None:
    """Lets pods have all of a node that says no more than its capacity."""
    if "allocatable" not in status and "capacity" in status:
        status["allocatable"] = dict(status["capacity"])


def limit_range_item(item: Document) -> None:
    """Completes the defaults of containers from each other and from the bounds."""
    if item.get("type") != "Container":
        return
    limits = {**item.get("max", {}), **item.get("default", {})}
    requests = {**item.get("min", {}), **limits, **item.get("defaultRequest", {})}
    item["default"], item["defaultRequest"] = limits, requests


def network_policy(spec: Document) -> None:
    """Applies a policy to ingress, and to egress where it has such rules."""
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def subject(document: Document) -> None:
    """Completes the group of a subject by its kind."""
    if not document.get("apiGroup") and document.get("kind") in ("User", "Group"):
        document["apiGroup"] = RBAC_GROUP


def driver_spec(spec: Document) -> None:
    """Lets a driver serve persistent volumes where no mode is given."""
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def definition_names(names: Document) -> None:
    """Completes the names of a custom resource from its kind."""
    if not names.get("singular"):
        names["singular"] = names.get("kind", "").lower()
    if not names.get("listKind") and names.get("kind"):
        names["listKind"] = names["kind"] + "List"


def device_request(request: Document) -> None:
    """Asks for one device where nothing else is said."""
    if not request.get("allocationMode"):
        request["allocationMode"] = "ExactCount"
    if request["allocationMode"] == "ExactCount" and not request.get("count"):
        request["count"] = 1
