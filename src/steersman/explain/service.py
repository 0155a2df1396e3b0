"""Why nobody answers behind a Service."""

from __future__ import annotations

from collections.abc import Iterable

from steersman.explain.cause import Cause, alike, bounded
from steersman.explain.objects import Objects, about, condition, name_of, namespace_of
from steersman.explain.pod import of_pod
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD
from steersman.model.kinds.printing import at
from steersman.model.kinds.service import SERVICE


def of_service(objects: Objects, service: Document) -> Cause:
    """Returns what is the matter with a Service."""
    name, spec = about(SERVICE, name_of(service)), at(service, "spec") or {}
    if spec.get("type") == "ExternalName":
        return Cause(name, f"is another name of {spec.get('externalName')}", sound=True)
    wanted = spec.get("selector") or {}
    if not wanted:
        return Cause(
            name,
            "selects no pods: its endpoints are whatever somebody writes into its EndpointSlices",
            sound=True,
        )
    pods = [it for it in objects.all(POD, namespace_of(service)) if _selects(wanted, it)]
    if not pods:
        return _of_nobody(objects, service, name, wanted)
    ready = [it for it in pods if condition(it, "Ready").get("status") == "True"]
    if not ready and not spec.get("publishNotReadyAddresses"):
        causes = alike(of_pod(objects, it) for it in pods)
        return Cause(name, f"has no endpoint: none of its {len(pods)} pods is ready", causes=causes)
    if lacking := tuple(_ports(spec, ready or pods)):
        return Cause(
            name,
            "names ports that its pods do not have",
            details=lacking,
            helps=("name a port of the pods in targetPort, or give its number",),
        )
    if spec.get("type") == "LoadBalancer" and not at(service, "status", "loadBalancer", "ingress"):
        return Cause(
            name,
            f"has {len(ready)} endpoints and no address of a load balancer yet",
            helps=("see whether a load balancer's controller runs",),
        )
    return Cause(name, f"has {len(ready)} ready endpoints of {len(pods)} pods", sound=True)


def _selects(wanted: Document, pod: Document) -> bool:
    return bool(wanted.items() <= (at(pod, "metadata", "labels") or {}).items())


def _of_nobody(objects: Objects, service: Document, name: str, wanted: Document) -> Cause:
    """Says which pods come nearest to a selector that selects none."""
    told = []
    for pod in objects.all(POD, namespace_of(service)):
        labels = at(pod, "metadata", "labels") or {}
        differing = {
            key: labels[key] for key in wanted if labels.get(key, wanted[key]) != wanted[key]
        }
        lacking = [key for key in wanted if key not in labels]
        if len(lacking) < len(wanted):
            has = [f"{key}={value}" for key, value in differing.items()]
            has += [f"no {key}" for key in lacking]
            told.append(f"{about(POD, name_of(pod))} has {', '.join(has)}")
    selector = ",".join(f"{key}={value}" for key, value in wanted.items())
    return Cause(
        name,
        f"selects no pod: none has {selector}",
        details=bounded(told, "pods"),
        helps=("mend spec.selector, or the labels of the pods' template",),
    )


def _ports(spec: Document, pods: Iterable[Document]) -> Iterable[str]:
    """Yields the named target ports that no pod has."""
    known = {
        port.get("name")
        for pod in pods
        for container in at(pod, "spec", "containers") or ()
        for port in container.get("ports") or ()
    }
    for port in spec.get("ports") or ():
        target = port.get("targetPort")
        if isinstance(target, str) and target not in known:
            yield f"port {port.get('port')} leads to the port named {target}"
