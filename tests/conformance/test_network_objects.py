"""Services and what stands behind them as objects: the rows of [sig-network] that need no pod to
answer. Those in which somebody answers are in tests/system/node/test_conformance_network.py.
"""

from __future__ import annotations

from typing import Any

from served import MERGE, STRATEGIC, Document, Served, served
from simulation.objects import Objects, seen
from simulation.quiet import Quiet, quietly
from walks import CONDITION, Walk, discovered, walk

NETWORKING = "networking.k8s.io"
NOTED: Document = {"metadata": {"annotations": {"patched": "true"}}}
RENOTED: Document = {"metadata": {"annotations": {"updated": "true"}}}
MANAGED = "endpointslice.kubernetes.io/managed-by"
OF_SERVICE = "kubernetes.io/service-name"


@served
async def test_ingresses(api: Served) -> None:
    backend = {"service": {"name": "default-backend", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "ImplementationSpecific", "backend": backend}
    rule = {"host": "foo.bar.com", "http": {"paths": [path]}}
    body = {"spec": {"defaultBackend": backend, "rules": [rule]}}
    await walk(api, Walk(NETWORKING, "ingresses", body, NOTED, RENOTED, namespaced=True))
    await discovered(api, NETWORKING, "ingresses/status")
    place = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
    made = (await api.post(place, {"metadata": {"name": "one"}, **body})).ok()
    balancer = {"ingress": [{"ip": "169.1.1.1"}]}
    status = {**NOTED, "status": {"loadBalancer": balancer}}
    patched = (await api.patch(f"{place}/one/status", status)).ok()
    assert patched["status"]["loadBalancer"] == balancer
    assert patched["metadata"]["annotations"]["patched"] == "true"
    patched["status"]["loadBalancer"]["ingress"] = [{"ip": "169.1.1.2"}]
    replaced = (await api.put(f"{place}/one/status", patched)).ok()
    assert replaced["status"]["loadBalancer"]["ingress"] == [{"ip": "169.1.1.2"}]
    found = (await api.get(f"{place}/one/status")).ok()
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert found["spec"] == made["spec"]
    everywhere = (await api.get("/apis/networking.k8s.io/v1/ingresses")).names
    assert everywhere == ["one"]


@served
async def test_ingress_classes(api: Served) -> None:
    body = {"spec": {"controller": "example.com/controller"}}
    await walk(api, Walk(NETWORKING, "ingressclasses", body, NOTED, RENOTED))


@served
async def test_endpoint_slices(api: Served) -> None:
    endpoints = [{"addresses": [address]} for address in ("1.2.3.4", "2.2.3.4")]
    body = {"addressType": "IPv4", "endpoints": endpoints}
    found = Walk("discovery.k8s.io", "endpointslices", body, NOTED, RENOTED, namespaced=True)
    await walk(api, found)


@served
async def test_addresses(api: Served) -> None:
    parent = {"group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar"}
    await discovered(api, NETWORKING, "ipaddresses")
    path = "/apis/networking.k8s.io/v1/ipaddresses"
    made = []
    for name, kind in (
        ("255.255.255.255", "broadcast"),
        ("fe80::42:1dff:fe84:f9e2", "link-local"),
    ):
        metadata = {"name": name, "labels": {"type": kind}}
        body = {"metadata": metadata, "spec": {"parentRef": parent}}
        made.append((await api.post(path, body)).ok())
    one = f"{path}/255.255.255.255"
    watch = await api.watch(path, labelSelector="type=broadcast", resourceVersion="0")
    patched = (await api.patch(one, NOTED, MERGE)).ok()
    assert patched["metadata"]["annotations"]["patched"] == "true"
    before, after = (int(it["metadata"]["resourceVersion"]) for it in (made[0], patched))
    assert before < after
    patched["metadata"]["annotations"]["updated"] = "true"
    assert (await api.put(one, patched)).ok()["metadata"]["annotations"]["updated"] == "true"
    assert (await api.get(one)).ok()["spec"]["parentRef"] == parent
    assert (await api.get(path, labelSelector="type=broadcast")).names == ["255.255.255.255"]
    (await api.delete(one)).ok()
    assert [(await watch.next())["type"] for _ in range(4)] == [
        "ADDED",
        "MODIFIED",
        "MODIFIED",
        "DELETED",
    ]
    (await api.delete(path, labelSelector="type=link-local")).ok()
    assert (await api.get(path, labelSelector="type=link-local")).names == []


@served
async def test_service_ranges(api: Served) -> None:
    await discovered(api, NETWORKING, "servicecidrs", "servicecidrs/status")
    path = "/apis/networking.k8s.io/v1/servicecidrs"
    first = (await api.get(f"{path}/kubernetes")).ok()
    status = (await api.get(f"{path}/kubernetes/status")).ok()
    assert (status["apiVersion"], status["kind"]) == ("networking.k8s.io/v1", "ServiceCIDR")
    assert status["metadata"]["uid"] == first["metadata"]["uid"]
    assert (await api.get(path)).names == ["kubernetes"]
    watch = await api.watch(path)
    assert (await watch.next())["object"]["metadata"]["name"] == "kubernetes"
    body = {"metadata": {"name": "second"}, "spec": {"cidrs": ["203.0.113.0/24"]}}
    made = (await api.post(path, body)).ok()
    assert (await watch.next())["object"] == made
    ready = {"conditions": [{**CONDITION, "type": "Ready"}]}
    patched = (await api.patch(f"{path}/second/status", {"status": ready})).ok()
    assert patched["status"] == ready
    patched["status"]["conditions"][0]["message"] = "again"
    replaced = (await api.put(f"{path}/second/status", patched)).ok()
    assert replaced["status"] == patched["status"]
    assert replaced["spec"] == made["spec"]


@served
async def test_the_service_of_the_api_leads_to_its_servers(api: Served) -> None:
    """Rows of API Server, and "find a service from listing all namespaces"."""
    place = "/api/v1/namespaces/default"
    service = (await api.get(f"{place}/services/kubernetes")).ok()
    (port,) = service["spec"]["ports"]
    assert (port["name"], port["port"], port["protocol"]) == ("https", 443, "TCP")
    endpoints = (await api.get(f"{place}/endpoints/kubernetes")).ok()
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    found = (await api.get(slices, labelSelector=f"{OF_SERVICE}=kubernetes")).ok()["items"]
    (subset,), (one,) = endpoints["subsets"], found
    addresses = [it["ip"] for it in subset["addresses"]]
    assert addresses == [it["addresses"][0] for it in one["endpoints"]] == ["10.64.0.1"]
    numbers = [[(it["name"], it["port"]) for it in each["ports"]] for each in (subset, one)]
    assert numbers == [[("https", 6443)], [("https", 6443)]]
    everywhere = (await api.get("/api/v1/services")).ok()["items"]
    assert ("default", "kubernetes") in [
        (it["metadata"]["namespace"], it["metadata"]["name"]) for it in everywhere
    ]


@served
async def test_endpoints_through_their_life(api: Served) -> None:
    path = "/api/v1/namespaces/default/endpoints"
    labels = {"test-endpoint-static": "true"}
    subset = {
        "addresses": [{"ip": "10.0.0.24"}],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }
    metadata = {"name": "testservice", "labels": labels}
    (await api.post(path, {"metadata": metadata, "subsets": [subset]})).ok()
    selector = "test-endpoint-static=true"
    watch = await api.watch(path, labelSelector=selector)
    assert (await watch.next())["type"] == "ADDED"
    everywhere = (await api.get("/api/v1/endpoints", labelSelector=selector)).ok()["items"]
    assert [it["metadata"]["name"] for it in everywhere] == ["testservice"]
    one = f"{path}/testservice"
    found = (await api.get(one)).ok()
    found["metadata"]["labels"]["test-service"] = "updated"
    (await api.put(one, found)).ok()
    told = await watch.next()
    assert told["type"] == "MODIFIED"
    assert told["object"]["metadata"]["labels"]["test-service"] == "updated"
    change = {"metadata": {"labels": {"test-service": "patched"}}}
    moved = {"subsets": [{**subset, "addresses": [{"ip": "10.0.0.25"}]}]}
    (await api.patch(one, {**change, **moved}, STRATEGIC)).ok()
    patched = (await watch.next())["object"]
    assert patched["metadata"]["labels"]["test-service"] == "patched"
    assert patched["subsets"][0]["addresses"] == [{"ip": "10.0.0.25"}]
    assert patched["subsets"][0]["ports"] == subset["ports"]
    (await api.delete(path, labelSelector=selector)).ok()
    assert (await watch.next())["type"] == "DELETED"
    assert (await api.get(one)).code == 404


@served
async def test_a_services_status_through_its_life(api: Served) -> None:
    path = "/api/v1/namespaces/default/services"
    ports = [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}]
    spec = {"type": "LoadBalancer", "ports": ports}
    labels = {"test-service-static": "true"}
    metadata = {"name": "test-service", "labels": labels}
    (await api.post(path, {"metadata": metadata, "spec": spec})).ok()
    one, selector = f"{path}/test-service", "test-service-static=true"
    watch = await api.watch(path, labelSelector=selector, resourceVersion=str(api.revision))
    assert (await api.get(f"{one}/status")).ok()["status"] == {"loadBalancer": {}}
    balancer = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    patched = (await api.patch(f"{one}/status", {**NOTED, "status": balancer})).ok()
    assert patched["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
    condition = {**CONDITION, "type": "StatusUpdate", "reason": "E2E"}
    patched["status"]["conditions"] = [condition]
    updated = (await api.put(f"{one}/status", patched)).ok()
    assert updated["status"]["conditions"] == [condition]
    change = {"metadata": {"labels": {"test-service": "patched"}}, "spec": {"ports": [
        {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}
    ]}}  # fmt: skip
    found = (await api.patch(one, change, STRATEGIC)).ok()
    assert found["status"] == updated["status"]
    assert found["spec"]["ports"][0]["targetPort"] == 8080
    assert [(await watch.next())["type"] for _ in range(3)] == ["MODIFIED"] * 3
    (await api.delete(one)).ok()
    assert (await watch.next())["type"] == "DELETED"


class Behind:
    """The objects of one namespace that stand behind Services."""

    def __init__(self, quiet: Quiet) -> None:
        self.quiet = quiet
        self.pods = Objects(quiet, "/api/v1", "pods")
        self.services = Objects(quiet, "/api/v1", "services")
        self.endpoints = Objects(quiet, "/api/v1", "endpoints")
        self.slices = Objects(quiet, "discovery.k8s.io/v1", "endpointslices")

    async def pod(self, name: str, *ports: tuple[str, int], **labels: str) -> str:
        """Creates a pod; returns its address."""
        given = [{"name": named, "containerPort": number} for named, number in ports]
        container = {"name": "container1", "image": "nginx", "ports": given}
        spec = {"containers": [container]}
        await self.pods.post(name, metadata={"labels": labels}, spec=spec)

        async def address() -> Any:
            return (await self.pods.get(name)).get("status", {}).get("podIP")

        return str(await self.quiet.until(address))

    async def service(self, name: str, target: int | str, **selector: str) -> None:
        ports = [{"name": "example", "port": 80, "targetPort": target}]
        spec = {"selector": selector, "publishNotReadyAddresses": True, "ports": ports}
        await self.services.post(name, spec=spec)

    async def of(self, name: str) -> list[Document]:
        """Returns the slices of a service."""
        return await self.slices.items(f"{OF_SERVICE}={name}")

    async def in_slices(self, name: str, *wanted: tuple[str, int]) -> list[Document]:
        """Waits until the slices of a service have these addresses and ports; returns them."""

        async def reached() -> Any:
            found = await self.of(name)
            told = sorted(
                (endpoint["addresses"][0], port["port"])
                for each in found
                for endpoint in each.get("endpoints") or ()
                for port in each["ports"]
            )
            return found if found and told == sorted(wanted) else None

        slices: list[Document] = await self.quiet.until(reached)
        assert {it["metadata"]["labels"][MANAGED] for it in slices} == {
            "endpointslice-controller.k8s.io"
        }
        return slices

    async def in_endpoints(self, name: str, *wanted: tuple[str, int]) -> None:
        """Waits until the Endpoints of a service have these addresses and ports."""

        async def reached() -> bool:
            if name not in await self.endpoints.names():
                return False
            subsets = (await self.endpoints.get(name)).get("subsets") or []
            told = sorted(
                (address["ip"], port["port"])
                for each in subsets
                for address in each["addresses"]
                for port in each["ports"]
            )
            return told == sorted(wanted)

        await self.quiet.until(reached)


def test_endpoints_and_slices_follow_the_pods_of_a_service() -> None:
    async def scenario(quiet: Quiet) -> None:
        behind = Behind(quiet)
        one = await behind.pod("pod1", ("example-name", 3000), pod1="on", shared12="on")
        two = await behind.pod(
            "pod2", ("example-name", 3001), ("other-port", 3002), pod2="on", shared12="on"
        )
        await behind.service("example-int-port", 3000, pod1="on")
        await behind.service("example-named-port", "example-name", shared12="on")
        await behind.service("example-no-match", 8080, pod3="on")
        wanted = {
            "example-int-port": [(one, 3000)],
            "example-named-port": [(one, 3000), (two, 3001)],
            "example-no-match": [],
        }
        for name, ends in wanted.items():
            await behind.in_endpoints(name, *ends)
            assert len(await behind.in_slices(name, *ends)) == (len(ends) or 1)
        before = {it["metadata"]["uid"] for it in await behind.of("example-named-port")}
        await behind.slices.clear(f"{OF_SERVICE}=example-named-port")
        after = await behind.in_slices("example-named-port", (one, 3000), (two, 3001))
        assert not before & {it["metadata"]["uid"] for it in after}
        await behind.pods.delete("pod1", gracePeriodSeconds=0)
        await behind.in_slices("example-named-port", (two, 3001))
        await behind.in_endpoints("example-named-port", (two, 3001))

    quietly(scenario, nodes=1)


def test_a_service_without_pods_has_empty_endpoints_and_a_slice_that_go_with_it() -> None:
    async def scenario(quiet: Quiet) -> None:
        behind = Behind(quiet)
        await behind.service("example-empty-selector", 80, nothing="matches")
        await behind.in_endpoints("example-empty-selector")
        (one,) = await behind.in_slices("example-empty-selector")
        assert not one.get("endpoints")
        await behind.services.delete("example-empty-selector")
        label = f"{OF_SERVICE}=example-empty-selector"
        await quiet.until(lambda: behind.slices.count(0, label))

        async def gone() -> bool:
            return "example-empty-selector" not in await behind.endpoints.names()

        await quiet.until(gone)

    quietly(scenario, nodes=1)


def test_endpoints_made_by_hand_are_mirrored_through_their_life() -> None:
    async def scenario(quiet: Quiet) -> None:
        behind = Behind(quiet)
        name = "example-custom-endpoints"
        ports = [{"name": "example", "port": 80, "protocol": "TCP"}]
        await behind.services.post(name, spec={"ports": ports})
        watched = await behind.slices.watch(f"{OF_SERVICE}={name}")
        subset = {"addresses": [{"ip": "10.1.2.3"}], "ports": ports}
        made = await behind.endpoints.post(name, subsets=[subset])

        def holds(address: str) -> Any:
            return lambda it: [x["addresses"] for x in it["endpoints"]] == [[address]]

        mirror = await seen(watched, "ADDED", holds("10.1.2.3"))
        assert mirror["metadata"]["labels"][MANAGED] == "endpointslicemirroring-controller.k8s.io"
        assert [(it["name"], it["port"]) for it in mirror["ports"]] == [("example", 80)]
        made["subsets"][0]["addresses"] = [{"ip": "10.2.3.4"}]
        await behind.endpoints.put(made)
        changed = await seen(watched, "MODIFIED", holds("10.2.3.4"))
        assert changed["metadata"]["uid"] == mirror["metadata"]["uid"]
        await behind.endpoints.delete(name)
        await seen(watched, "DELETED", lambda _: True)
        assert await behind.of(name) == []

    quietly(scenario, nodes=1)
