"""Extenders: what they are asked, what their answers mean, and how they are bounded."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from extenders import HEAD, URL, Peer, only
from ports import free_port
from scheduler_cluster import Cluster, node, pod
from steersman.listen import certificates, serve
from steersman.model.gotext import quote
from steersman.scheduler.configuration_file import parse
from steersman.scheduler.decide import Chosen, Unfit, decide
from steersman.scheduler.extenders.extender import MOST_BYTES, Extender, reach_http
from steersman.scheduler.extenders.failure import Failed
from steersman.scheduler.extenders.messages import (
    Nodes,
    Victims,
    parse_bound,
    parse_filtered,
    parse_scores,
    parse_victims,
    render_ask,
    render_binding,
    render_victims,
)
from steersman.scheduler.extenders.settings import Settings
from steersman.scheduler.extenders.word import Word
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.message import fit_error
from steersman.scheduler.plugin_args import Refused
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld

POD = {"metadata": {"name": "p"}}
LIE = f'extender "{URL}" claims a filtered node "z" which is not found in the input node list'
A, B = {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}


def settings(**fields: Any) -> Settings:
    (found,) = parse({**HEAD, "extenders": [{"urlPrefix": URL, **fields}]}).extenders
    return found


# What is asked


def test_a_question_has_names_or_whole_nodes_under_the_names_of_upstreams_fields() -> None:
    nodes = Nodes(("a", "b"), (A, B))
    assert render_ask(POD, nodes, names_only=True) == {
        "Pod": POD,
        "Nodes": None,
        "NodeNames": ["a", "b"],
    }
    assert render_ask(POD, nodes, names_only=False) == {
        "Pod": POD,
        "Nodes": {"metadata": {}, "items": [A, B]},
        "NodeNames": None,
    }


def test_candidates_of_preemption_are_told_by_uid_or_whole() -> None:
    victims = {"a": Victims(("u",), 2, (POD,))}
    assert render_victims(POD, victims, names_only=True) == {
        "Pod": POD,
        "NodeNameToVictims": None,
        "NodeNameToMetaVictims": {"a": {"Pods": [{"UID": "u"}], "NumPDBViolations": 2}},
    }
    assert render_victims(POD, victims, names_only=False) == {
        "Pod": POD,
        "NodeNameToVictims": {"a": {"Pods": [POD], "NumPDBViolations": 2}},
        "NodeNameToMetaVictims": None,
    }
    assert render_binding("n", "p", "u", "a") == {
        "PodName": "p",
        "PodNamespace": "n",
        "PodUID": "u",
        "Node": "a",
    }


# What answers mean


def filtered(answer: Any, *, names_only: bool = True) -> tuple[Any, Any]:
    found = parse_filtered(answer, URL, ("a", "b", "c"), names_only=names_only)
    return found.passed, dict(found.refused)


def test_nodes_pass_in_the_order_asked_and_others_fail_with_their_words() -> None:
    answer = {
        "NodeNames": ["c", "a"],
        "FailedNodes": {"b": "no card", "x": "not asked", "a": "but passed"},
    }
    refused = {"b": Refusal("Extender", ("no card",), final=False)}
    assert filtered(answer) == (("a", "c"), refused)


def test_a_failure_for_good_takes_precedence_and_case_does_not_matter() -> None:
    answer = {
        "nodenames": ["a"],
        "failedNodes": {"b": "busy", "c": "busy"},
        "failedAndUnresolvableNodes": {"c": "too old"},
    }
    refused = {
        "b": Refusal("Extender", ("busy",), final=False),
        "c": Refusal("Extender", ("too old",), final=True),
    }
    assert filtered(answer) == (("a",), refused)


def test_whole_nodes_are_known_by_their_names_and_no_answer_is_no_node() -> None:
    answer = {"nodes": {"items": [{"metadata": {"name": "b", "labels": {}}, "spec": {}}]}}
    assert filtered(answer, names_only=False) == (("b",), {})
    assert filtered(answer) == (("b",), {})
    assert filtered(None) == ((), {})
    assert filtered({"NodeNames": None, "Nodes": {"items": None}}) == ((), {})


@pytest.mark.parametrize(
    ("answer", "names_only", "text"),
    [
        (
            {"NodeNames": ["a", "z"]},
            True,
            LIE,
        ),
        (
            {"Nodes": {"items": [{"metadata": {"name": "z"}}]}},
            False,
            LIE,
        ),
        ({"Error": "no licence", "NodeNames": ["a"]}, True, "no licence"),
        ({"NodeNames": "a"}, True, "Expected `array | null`, got `str` - at `$.nodenames`"),
        ([], True, "Expected `object`, got `array`"),
        ({"FailedNodes": {"a": 1}}, True, "Expected `str`, got `int` - at `$.failednodes[...]`"),
    ],
)
def test_lies_errors_and_junk_are_failures(answer: Any, names_only: bool, text: str) -> None:
    with pytest.raises(Failed) as caught:
        filtered(answer, names_only=names_only)
    assert str(caught.value) == text


def test_what_an_extender_says_is_cut() -> None:
    with pytest.raises(Failed) as caught:
        filtered({"Error": "x" * 5000})
    assert len(str(caught.value)) == 1024
    _, refused = filtered({"NodeNames": [], "FailedNodes": {"a": "x" * 5000}})
    assert len(refused["a"].reasons[0]) == 1024


def test_scores_victims_and_bindings_are_read() -> None:
    assert parse_scores([{"Host": "a", "Score": 3}, {"host": "b", "score": -1}]) == {
        "a": 3,
        "b": -1,
    }
    assert parse_scores(None) == {}
    answer = {"nodeNameToMetaVictims": {"a": {"pods": [{"uid": "u"}], "numPDBViolations": 1}}}
    assert parse_victims(answer) == {"a": Victims(("u",), 1)}
    assert parse_victims({}) == {}
    parse_bound({"Error": ""})
    for junk in ({"a": 1}, [3], [{"Host": 1}], "x"):
        with pytest.raises(Failed):
            parse_scores(junk)
    with pytest.raises(Failed, match="refused"):
        parse_bound({"error": "refused"})
    with pytest.raises(Failed):
        parse_victims({"NodeNameToMetaVictims": {"a": [1]}})


# What a word means for the decision


def test_only_nodes_that_passed_are_chosen_and_others_are_told_with_their_reasons() -> None:
    cluster = Cluster(*(node(name) for name in "abcd"))
    refusal = Refusal("Extender", ("no card",), final=False)
    word = Word(frozenset("b"), {"a": refusal, "c": refusal})
    ask = cluster.memory.of(pod(), word=word)
    chosen = decide(ask)
    assert isinstance(chosen, Chosen)
    assert chosen.node.name == "b"
    unfit = decide(cluster.memory.of(pod(), word=Word(refused=word.refused)))
    assert isinstance(unfit, Unfit)
    assert fit_error(unfit) == "0/4 nodes are available: 2 no card."
    assert [cluster.snapshot.at(place).name for place in (0, 2)] == ["a", "c"]
    assert unfit.open == 0b101  # removing pods could help there, and not where nothing was said
    assert unfit.blockers == {"Extender"}
    silent = decide(cluster.memory.of(pod(), word=Word()))
    assert isinstance(silent, Unfit)
    assert fit_error(silent, "0/4 nodes are available: 4 x.") == (
        "0/4 nodes are available: no new claims to deallocate, preemption: "
        "0/4 nodes are available: 4 x."
    )


def test_scores_of_extenders_are_added_to_ours() -> None:
    cluster = Cluster(node("full"), node("empty"))
    cluster.put(pod("other", container={"resources": {"requests": {"cpu": "2"}}}), on="full")
    names = frozenset(("full", "empty"))

    def chosen(**scores: int) -> str:
        answer = decide(cluster.memory.of(pod(), word=Word(names, scores=scores)))
        assert isinstance(answer, Chosen)
        return answer.node.name

    assert chosen() == chosen(full=1) == chosen(full=1000, empty=1000) == "empty"
    assert chosen(full=100) == chosen(empty=-100) == "full"


# How an extender is reached and bounded

Case = Callable[[RealWorld, int], Coroutine[Any, Any, Any]]


def listening(handle: Any, case: Case, tls: Any = None) -> Any:
    async def main() -> Any:
        world = RealWorld()
        async with serve.Server(handle, world) as server:
            _, port = await server.listen("127.0.0.1", 0, tls)
            return await case(world, port)

    return uvloop.run(main())


def failure(handle: Any, timeout: str = "60s", **fields: Any) -> tuple[str, int]:
    """Returns in which words a question fails, and the port of who was asked."""

    async def case(world: RealWorld, port: int) -> tuple[str, int]:
        place = {"urlPrefix": f"http://127.0.0.1:{port}/x/", "httpTimeout": timeout, **fields}
        extender = Extender(settings(filterVerb="filter", **place), reach_http, world)
        with pytest.raises(Failed) as caught:
            await extender.filter(POD, Nodes(("a",), (A,)))
        return str(caught.value), port

    found: tuple[str, int] = listening(handle, case)
    return found


def test_an_extender_is_asked_over_http_at_its_prefix() -> None:
    peer = Peer(**{"x/filter": only("a"), "x/score": lambda _: [{"Host": "a", "Score": 2}]})

    async def case(world: RealWorld, port: int) -> Any:
        own = settings(
            urlPrefix=f"http://127.0.0.1:{port}/x",
            filterVerb="filter",
            prioritizeVerb="score",
            weight=3,
            nodeCacheCapable=True,
        )
        extender = Extender(own, reach_http, world)
        nodes = Nodes(("a", "b"))
        found = await extender.filter(POD, nodes)
        return found.passed, await extender.prioritize(POD, nodes)

    assert listening(peer.handle, case) == (("a",), {"a": 60})
    assert [verb for verb, _ in peer.asked] == ["x/filter", "x/score"]


def test_one_that_hangs_is_given_up_after_its_timeout() -> None:
    peer = Peer()
    peer.hangs = {"x/filter"}
    text, port = failure(peer.handle, "50ms")
    assert text == (
        f'Post "http://127.0.0.1:{port}/x/filter": context deadline exceeded '
        "(Client.Timeout exceeded while awaiting headers)"
    )


def test_other_answers_than_200_junk_and_nobody_are_failures() -> None:
    peer = Peer(**{"x/filter": lambda _: {}})
    peer.status = 500
    text, port = failure(peer.handle)
    url = f"http://127.0.0.1:{port}/x/filter"
    assert text == f"failed filter with extender at URL {url}, code 500"
    text, _ = failure(Peer(**{"x/filter": lambda _: b"<html>"}).handle)
    assert "is no JSON: " in text
    nobody = free_port()
    text, _ = failure(peer.handle, urlPrefix=f"http://127.0.0.1:{nobody}")
    assert text == (
        f'Post "http://127.0.0.1:{nobody}/filter": dial tcp 127.0.0.1:{nobody}: '
        "connect: connection refused"
    )


def test_a_body_without_end_is_read_to_a_bound() -> None:
    sent = 0

    async def endless(_request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1024 * 1024
                yield b" " * 1024 * 1024

        return Response(pieces())

    text, port = failure(endless)
    assert text == (
        f'Post "http://127.0.0.1:{port}/x/filter": the answer has more than {MOST_BYTES} bytes'
    )
    assert sent < 4 * MOST_BYTES


def test_a_body_that_does_not_end_in_time_is_given_up() -> None:
    async def slow(_request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        return Response(pieces())

    text, _ = failure(slow, "100ms")
    assert text == (
        "context deadline exceeded (Client.Timeout or context cancellation while reading body)"
    )


def test_https_is_checked_by_the_given_authority_or_not_at_all(tmp_path: Path) -> None:
    files = certificates.ensure(tmp_path / "pki", (), RealWorld().now())
    tls = serve.tls_context(files.certificate(), files.key(), files.ca)
    peer = Peer(filter=only("a"))
    authority = base64.b64encode(files.ca.read_bytes()).decode()

    async def case(world: RealWorld, port: int) -> list[str]:
        said = []
        for more in (
            {"tlsConfig": {"caData": authority}},
            {"tlsConfig": {"caFile": str(files.ca)}, "enableHTTPS": True},
            {"tlsConfig": {"insecure": True}},
            {"enableHTTPS": True},
            {},
        ):
            place = {"urlPrefix": f"https://localhost:{port}", "nodeCacheCapable": True}
            own = settings(filterVerb="filter", **place, **more)
            try:
                await Extender(own, reach_http, world).filter(POD, Nodes(("a",)))
                said.append("ok")
            except Failed as error:
                said.append("not trusted" if "not trusted" in str(error) else str(error))
        return said

    assert listening(peer.handle, case, tls) == ["ok", "ok", "ok", "ok", "not trusted"]


def test_a_pod_concerns_an_extender_by_the_resources_that_it_manages() -> None:
    own = settings(managedResources=[{"name": "example.com/card"}])
    extender = Extender(own, reach_http, RealWorld())
    wants = {"resources": {"requests": {"example.com/card": "1"}}}
    limits = {"resources": {"limits": {"example.com/card": "1"}}}
    assert extender.minds(pod(container=wants))
    assert extender.minds(pod(container=limits))
    assert extender.minds(pod(initContainers=[{"name": "i", **wants}]))
    assert not extender.minds(pod(container={"resources": {"requests": {"cpu": "1"}}}))
    assert Extender(settings(), reach_http, RealWorld()).minds(pod())


# What a file says


def test_an_extender_of_a_file_has_upstreams_defaults() -> None:
    found = settings(filterVerb="f")
    assert (found.url, found.timeout_seconds, found.names_only) == (URL, 5.0, False)
    assert (found.ignorable, found.managed, found.bind_verb) == (False, frozenset(), "")
    assert settings(httpTimeout="1m30s").timeout_seconds == 90.0
    assert settings(httpTimeout="0s").timeout_seconds == 5.0
    assert settings(urlPrefix="https://a/b/").target.port == 443


def test_resources_that_extenders_look_after_are_left_to_them() -> None:
    managed = [
        {"name": "example.com/card", "ignoredByScheduler": True},
        {"name": "example.com/disk"},
    ]
    extender = {"urlPrefix": URL, "managedResources": managed}
    found = parse({**HEAD, "extenders": [extender]})
    (profile,) = found.profiles.values()
    assert profile.ignored == (frozenset(("example.com/card",)), frozenset())
    assert found.extenders[0].managed == {"example.com/card", "example.com/disk"}


@pytest.mark.parametrize(
    ("extenders", "text"),
    [
        (
            [{"urlPrefix": URL, "prioritizeVerb": "p"}],
            "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
        ),
        (
            [{"urlPrefix": URL, "bindVerb": "b"}] * 2,
            'extenders: Invalid value: "found 2 extenders implementing bind": '
            "only one extender can implement bind",
        ),
        (
            [{"urlPrefix": URL, "managedResources": [{"name": "cpu"}]}],
            'extenders[0].managedResources[0].name: Invalid value: "cpu": '
            "is an invalid extended resource name",
        ),
        (
            [{"urlPrefix": URL, "managedResources": [{"name": "a.b/c"}]}] * 2,
            'extenders[1].managedResources[0].name: Invalid value: "a.b/c": '
            "duplicate extender managed resource name",
        ),
        ([{"urlPrefix": "ftp://a"}], "extenders[0].urlPrefix: Invalid value: "),
        ([{"urlPrefix": URL, "httpTimeout": "5"}], "extenders[0].httpTimeout: "),
        ([{"urlPrefix": URL, "httpTimeout": "-1s"}], "extenders[0].httpTimeout: Invalid value: "),
        ([{"urlPrefix": URL, "verb": "x"}], "Object contains unknown field `verb`"),
        (
            [{"urlPrefix": "https://a", "tlsConfig": {"caData": "eA==", "insecure": True}}],
            "specifying a root certificates file with the insecure flag is not allowed",
        ),
        (
            [{"urlPrefix": "https://a", "tlsConfig": {"caData": "eA=="}}],
            "unable to load root certificates",
        ),
        (
            [{"urlPrefix": "https://a", "tlsConfig": {"certData": "eA=="}}],
            "a certificate and its key are given together",
        ),
        ([{"urlPrefix": "https://a", "tlsConfig": {"caData": "?"}}], "caData is not base64"),
        ([{"urlPrefix": "https://a", "tlsConfig": {"caFile": "/no"}}], "/no: No such file"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(extenders: Any, text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse({**HEAD, "extenders": extenders})
    assert text in str(caught.value)


def test_a_secret_key_is_not_told() -> None:
    secret = base64.b64encode(b"secret key").decode()
    given = {"certData": base64.b64encode(b"no certificate").decode(), "keyData": secret}
    with pytest.raises(Refused) as caught:
        parse({**HEAD, "extenders": [{"urlPrefix": "https://a", "tlsConfig": given}]})
    assert "secret" not in str(caught.value)
    assert secret not in str(caught.value)
    assert quote("secret key") not in str(caught.value)
