"""Who may come to the agent's port: asked of a server, believed for a while."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any, cast

import pytest

from served import Served, served
from steersman.client.client import APIClient
from steersman.client.errors import Unreachable
from steersman.client.local import LocalTransport
from steersman.listen import certificates
from steersman.listen.certificates import ADMIN, KUBELET_CLIENT
from steersman.model.errors import Forbidden, InternalError, Unauthorized
from steersman.node.engine.own import OwnEngine
from steersman.node.measure.answer import Telling
from steersman.node.measure.measuring import Measuring
from steersman.node.serve import Others, handler
from steersman.node.visitors import Visitors, is_api_server, of_certificate, subresources
from steersman.runtime.engine import Engine
from steersman.runtime.kernel import cgroups
from steersman.runtime.kernel.cgroups import Hierarchies
from steersman.wire.message import Peer, Request, Response, User
from steersman.world.interface import World
from steersman.world.simulated import simulate

NODE = User("system:node:n", ("system:nodes", "system:authenticated"))
TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


class Counted(LocalTransport):
    """A way to the server that counts, and can be cut."""

    sent = 0
    cut = False

    async def send(self, request: Request) -> Response:
        """Sends, or not."""
        self.sent += 1
        if self.cut:
            raise Unreachable("cut off")
        return await super().send(request)


def visiting(api: Served) -> tuple[Visitors, Counted]:
    transport = Counted(api.assembly.api.handle, NODE)
    return Visitors(APIClient(transport, api.world), "n", api.world), transport


async def token(api: Served) -> str:
    made = (await api.post(TOKEN, {"spec": {"audiences": []}})).ok()
    found: str = made["status"]["token"]
    return found


def asks(path: str, secret: str = "", method: str = "GET") -> Request:
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return Request(method, path, "", headers)


async def grant(api: Served, *resources: str) -> None:
    """Lets the account `default` read some of what nodes tell."""
    rules = [{"apiGroups": [""], "resources": list(resources), "verbs": ["get"]}]
    (await api.post(ROLES, {"metadata": {"name": "look"}, "rules": rules})).ok()
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    group = "rbac.authorization.k8s.io"
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": "look"}
    made = {"metadata": {"name": "look"}, "roleRef": reference, "subjects": [subject]}
    (await api.post(BINDINGS, made)).ok()


@served
async def test_a_token_opens_what_its_user_is_granted(api: Served) -> None:
    await grant(api, "nodes/metrics", "nodes/pods")
    visitors, _ = visiting(api)
    secret = await token(api)
    await visitors.admit(asks("/metrics/resource", secret))
    await visitors.admit(asks("/pods", secret))
    for path, listed in (("/stats/summary", "stats"), ("/configz", "configz proxy"),
                         ("/containerLogs/a/b/c", "proxy")):  # fmt: skip
        with pytest.raises(Forbidden) as refused:
            await visitors.admit(asks(path, secret))
        assert refused.value.message == (
            "Forbidden (user=system:serviceaccount:default:default, verb=get, resource=nodes, "
            f"subresource(s)=[{listed}])\n"
        )
    with pytest.raises(Forbidden, match="verb=create"):
        await visitors.admit(asks("/pods", secret, "POST"))


@served
async def test_proxy_stands_for_what_has_a_finer_name(api: Served) -> None:
    await grant(api, "nodes/proxy")
    visitors, _ = visiting(api)
    secret = await token(api)
    for path in ("/pods", "/configz", "/healthz", "/exec/a/b/c"):
        await visitors.admit(asks(path, secret))
    with pytest.raises(Forbidden):
        await visitors.admit(asks("/metrics/resource", secret))


@served
async def test_who_cannot_say_who_they_are_is_unauthorized(api: Served) -> None:
    visitors, transport = visiting(api)
    for request in (
        asks("/pods"),
        asks("/pods", "nonsense"),
        Request("GET", "/pods", "", {"authorization": "Basic eDp5"}),
        Request("GET", "/pods", "", {"authorization": "Bearer "}),
    ):
        with pytest.raises(Unauthorized):
            await visitors.admit(request)
    assert transport.sent == 1


@served
async def test_answers_are_believed_for_a_while(api: Served) -> None:
    visitors, transport = visiting(api)
    secret = await token(api)
    with pytest.raises(Forbidden):
        await visitors.admit(asks("/metrics/resource", secret))
    assert transport.sent == 2
    await grant(api, "nodes/metrics")
    with pytest.raises(Forbidden):
        await visitors.admit(asks("/metrics/resource", secret))
    assert transport.sent == 2
    await api.world.sleep(31)
    await visitors.admit(asks("/metrics/resource", secret))
    assert transport.sent == 3
    transport.cut = True
    await api.world.sleep(80)
    await visitors.admit(asks("/metrics/resource", secret))
    await api.world.sleep(10)
    with pytest.raises(InternalError, match="the API server cannot be asked"):
        await visitors.admit(asks("/metrics/resource", secret))


def shown(directory: Path, file: Any) -> Request:
    """Returns a request over a connection on which a certificate was shown."""
    files = certificates.ensure(directory, (), time.time(), (ADMIN, KUBELET_CLIENT, file))
    text = files.certificate(file.file).read_text()
    return Request("GET", "/pods", peer=Peer(certificate=ssl.PEM_cert_to_DER_cert(text)))


def test_a_certificate_says_who_somebody_is(tmp_path: Path) -> None:
    admin = of_certificate(shown(tmp_path, ADMIN))
    assert admin is not None
    assert (admin.name, admin.groups) == (
        ADMIN.user,
        (*ADMIN.groups, "system:authenticated"),
    )
    assert is_api_server(shown(tmp_path, KUBELET_CLIENT))
    assert not is_api_server(shown(tmp_path, ADMIN))
    assert not is_api_server(Request("GET", "/pods"))
    with pytest.raises(Unauthorized):
        of_certificate(Request("GET", "/pods", peer=Peer(certificate=b"\x30\x00")))


@served
async def test_a_certificate_opens_what_its_user_and_groups_are_granted(
    api: Served, tmp_path: Path
) -> None:
    visitors, transport = visiting(api)
    await visitors.admit(shown(tmp_path, ADMIN))  # by the group system:masters alone
    assert transport.sent == 1  # no token was looked at
    with pytest.raises(Forbidden, match="user=system:node:other"):
        await visitors.admit(shown(tmp_path, certificates.node("other")))


@served
async def test_a_token_opens_what_the_groups_of_its_user_are_granted(api: Served) -> None:
    await grant(api, "nodes/metrics")
    group = {"kind": "Group", "name": "system:serviceaccounts:default"}
    await api.patch(f"{BINDINGS}/look", {"subjects": [group]})
    visitors, _ = visiting(api)
    await visitors.admit(asks("/metrics/resource", await token(api)))


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"authenticated": False, "user": {"username": "somebody"}},
        {"authenticated": True, "user": {"username": ""}},
        {"authenticated": True},
    ],
)
def test_a_token_that_nobody_vouches_for_opens_nothing(status: Any) -> None:
    class Client:
        async def post(self, _ref: Any, _subresource: str, _document: Any) -> Any:
            return {"status": status}

    async def main(world: World) -> None:
        with pytest.raises(Unauthorized):
            await Visitors(cast(Any, Client()), "n", world).admit(asks("/pods", "secret"))

    simulate(1, main)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/stats/summary", ("stats",)), ("/metrics", ("metrics",)),
     ("/metrics/cadvisor", ("metrics",)),
     ("/logs/x", ("log",)), ("/run/a", ("proxy",)), ("/", ("proxy",)),
     ("/healthz/ping", ("healthz", "proxy"))],
)  # fmt: skip
def test_a_path_stands_for_a_subresource_of_the_node(path: str, expected: Any) -> None:
    assert subresources(path) == expected


class NoPods:
    """A node without pods; see `node.streams.pods.Pods`."""

    engine = OwnEngine(Engine("/nowhere/warm.sock", "/nowhere"), *[cast(Any, None)] * 5)

    def find(self, _namespace: str, _name: str) -> None:
        """Finds nothing."""


@served
async def test_the_port_answers_whom_it_lets_in(api: Served, tmp_path: Path) -> None:
    await grant(api, "nodes/healthz")
    visitors, transport = visiting(api)

    async def pods() -> Any:
        raise AssertionError("nobody asks")

    measuring = Measuring(list, cgroups.opener(Hierarchies({}, "", frozenset())), "/x", tmp_path,
                          tmp_path, api.world)  # fmt: skip
    files: Any = None  # nobody asks for them, nor for counts
    others = Others(visitors, Telling("n", "/x", measuring, files, files, pods, {}))
    async with api.world.tasks() as tasks:
        answers = handler(NoPods(), api.world, tasks, others)

        async def ask(request: Request) -> tuple[int, Any]:
            answer = answers(request)
            answer = answer if isinstance(answer, Response) else await answer
            return answer.status, answer.body

        def trusted(path: str, method: str = "GET") -> Request:
            peer = shown(tmp_path, KUBELET_CLIENT).peer
            return Request(method, path, peer=peer)

        secret = await token(api)
        assert await ask(asks("/healthz", secret)) == (200, b"ok")
        assert (await ask(asks("/stats/summary", secret)))[0] == 403
        assert (await ask(asks("/containerLogs/a/b/c", secret)))[0] == 403
        assert (await ask(asks("/healthz")))[0] == 401
        sent = transport.sent
        assert await ask(trusted("/healthz")) == (200, b"ok")
        assert await ask(trusted("/configz")) == (200, b'{"kubeletconfig":{}}')
        assert (await ask(trusted("/configz", "POST")))[0] == 405
        assert (await ask(trusted("/containerLogs/a/b/c")))[0] == 404
        assert (await ask(trusted("/nothing")))[0] == 404
        assert transport.sent == sent
        tasks.stop()
