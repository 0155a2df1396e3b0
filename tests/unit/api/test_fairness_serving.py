"""Requests meet their priority level: headers, waiting, 429, what occupies seats and what not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from served import MAPS, Answer, Served, config_map, prepare, serving
from steersman.api.fairness.seats.level import Level
from steersman.api.fairness.serving import SHORT_BYTES, WAIT_SECONDS
from steersman.api.fairness.settings import FlowSettings
from steersman.model.kind import Document
from steersman.wire.message import Peer, Request, Response, User
from steersman.world.simulated import SimulatedWorld, simulate

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"
SCHEMAS = f"{GROUP}/flowschemas"
LEVELS = f"{GROUP}/prioritylevelconfigurations"
DEBUG = "/debug/api_priority_and_fairness"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
EVERYBODY = "system:authenticated"
JANE, JOHN = User("jane", (EVERYBODY,)), User("john", (EVERYBODY,))
SCHEMA_UID, LEVEL_UID = "X-Kubernetes-PF-FlowSchema-UID", "X-Kubernetes-PF-PriorityLevel-UID"

# What `slow` asked in the test that runs
ASKED: list[asyncio.Task[Answer]] = []


def case(
    test: Callable[[Served], Coroutine[Any, Any, None]], flow: FlowSettings | None = None
) -> None:
    async def main(world: SimulatedWorld) -> None:
        async with serving(world, flow=flow) as api:
            await prepare(api)
            binding = {
                "metadata": {"name": "everybody"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "cluster-admin",
                },
                "subjects": [
                    {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": EVERYBODY}
                ],
            }
            (await api.post(BINDINGS, binding)).ok()
            await asyncio.sleep(1)
            try:
                await test(api)
            finally:
                for task in ASKED:
                    task.cancel()
                await asyncio.gather(*ASKED, return_exceptions=True)
                ASKED.clear()

    simulate(1, main)


def few(seats: int = 2, *, queues: int = 16, length: int = 5, hand: int = 4) -> Document:
    """Returns a level that has so many of 600 seats."""
    queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": length}
    response: Document = {"type": "Queue", "queuing": queuing} if queues else {"type": "Reject"}
    limited = {
        "nominalConcurrencyShares": seats,
        "lendablePercent": 0,
        "borrowingLimitPercent": 0,
        "limitResponse": response,
    }
    return {"metadata": {"name": "few"}, "spec": {"type": "Limited", "limited": limited}}


def rules(*users: str) -> list[Document]:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
    paths = {"verbs": ["*"], "nonResourceURLs": ["*"]}
    subjects = [{"kind": "User", "user": {"name": user}} for user in users]
    resources = [{**everything, "clusterScope": True}]
    return [{"subjects": subjects, "resourceRules": resources, "nonResourceRules": [paths]}]


def schema(name: str, level: str, *users: str, precedence: int = 10) -> Document:
    return {
        "metadata": {"name": name},
        "spec": {
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": rules(*users),
        },
    }


async def limit(api: Served, **more: Any) -> Level:
    """Has jane and john share a level of two seats."""
    (await api.post(LEVELS, few(**more))).ok()
    (await api.post(SCHEMAS, schema("mine", "few", "jane", "john"))).ok()
    await asyncio.sleep(1)
    return level_of(api, "few")


def level_of(api: Served, name: str) -> Level:
    fairness = api.assembly.flow.fairness
    assert fairness is not None
    return fairness.configuration.levels[name]


def slow(api: Served, user: User = JANE) -> asyncio.Task[Answer]:
    """Asks what waits three seconds, for a revision that does not come, and ends with 504."""
    future = str(api.revision + 1_000_000)
    task = asyncio.ensure_future(api.get(f"{MAPS}/none", user=user, resourceVersion=future))
    ASKED.append(task)
    return task


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_answers_say_by_which_rules_they_were_served() -> None:
    async def test(api: Served) -> None:
        level = (await api.get(f"{LEVELS}/global-default")).ok()["metadata"]["uid"]
        schema = (await api.get(f"{SCHEMAS}/global-default")).ok()["metadata"]["uid"]
        expected = {SCHEMA_UID: schema, LEVEL_UID: level}
        made = config_map("a")
        for answer in (
            await api.post(MAPS, made, user=JANE),
            await api.get(f"{MAPS}/a", user=JANE),
            await api.get(MAPS, user=JANE),
            await api.get(f"{MAPS}/missing", user=JANE),
            await api.post(MAPS, made, user=JANE),
            await api.get("/version", user=JANE),
            await api.get("/apis/nowhere/v1/x", user=JANE),
        ):
            assert {name: answer.headers.get(name) for name in expected} == expected
        refused = await api.get(MAPS, user=User("nobody"))
        assert refused.code == 403
        catch_all = (await api.get(f"{SCHEMAS}/catch-all")).ok()["metadata"]["uid"]
        assert refused.headers[SCHEMA_UID] == catch_all
        exempt = await api.get(MAPS)
        uid = (await api.get(f"{LEVELS}/exempt")).ok()["metadata"]["uid"]
        assert exempt.headers[LEVEL_UID] == uid
        logs = await api.get("/api/v1/namespaces/default/pods/p/log", user=JANE)
        assert SCHEMA_UID not in logs.headers

    case(test)


def test_headers_that_an_answer_has_of_its_own_stay() -> None:
    async def test(api: Served) -> None:
        made = {**config_map("a"), "spec": 1}
        answer = await api.post(MAPS, made, user=JANE, fieldValidation="Warn")
        assert "Warning" in answer.headers
        assert SCHEMA_UID in answer.headers

    case(test)


def test_one_flow_with_five_hundred_waiting_does_not_keep_another_from_its_share() -> None:
    async def test(api: Served) -> None:
        level = await limit(api, seats=2, queues=128, hand=6, length=100)
        for _ in range(level.limit + 500):
            slow(api)
        await turn()
        assert level.waiting == 500
        began = api.world.monotonic()
        one = await api.get(f"{MAPS}/none", user=JOHN)
        assert one.code == 404
        waited = api.world.monotonic() - began
        # seven queues have turns at the seats, three seconds each
        assert waited <= 3.0 * -(-7 // level.limit)
        assert level.waiting > 400

    case(test)


def test_what_is_too_much_is_turned_away_with_upstreams_words() -> None:
    async def test(api: Served) -> None:
        level = await limit(api, queues=1, hand=1, length=3)
        tasks = [slow(api) for _ in range(level.limit + 3)]
        await turn()
        refused = await api.get(f"{MAPS}/none", user=JANE)
        assert refused.code == 429
        assert refused.document == b"Too many requests, please try again later.\n"
        assert refused.headers["Retry-After"] == "1"
        assert refused.headers["X-Content-Type-Options"] == "nosniff"
        assert refused.headers[LEVEL_UID] == level.uid
        write = await api.post(MAPS, config_map("a"), user=JANE)
        assert write.code == 429
        assert (await api.get(f"{MAPS}/a")).code == 404
        assert (await api.get(f"{MAPS}/none")).code == 404  # administrators are exempt
        for task in tasks:
            assert (await task).code == 504
        assert level.idle
        assert (await api.get(f"{MAPS}/none", user=JANE)).code == 404

    case(test)


def test_who_waited_is_served_in_the_end() -> None:
    async def test(api: Served) -> None:
        level = await limit(api)
        tasks = [slow(api) for _ in range(level.limit)]
        await turn()
        assert not level.open
        write = asyncio.ensure_future(api.post(MAPS, config_map("a"), user=JANE))
        read = asyncio.ensure_future(api.get(f"{MAPS}/none", user=JANE))
        await turn()
        assert level.waiting == 2
        assert (await write).code == 201
        assert (await read).code == 404
        await asyncio.gather(*tasks)
        assert level.idle
        assert level.seats == 0

    case(test)


def test_the_wait_for_a_seat_is_not_counted_as_a_requests_own_time() -> None:
    async def test(api: Served) -> None:
        level = await limit(api)
        for _ in range(level.limit):
            slow(api)
        await turn()
        refused, made = await asyncio.gather(
            api.patch(f"{MAPS}/none", {}, user=JANE), api.post(MAPS, config_map("a"), user=JANE)
        )
        assert (refused.code, made.code) == (404, 201)
        text = (await api.get("/metrics")).document.decode()
        took = "apiserver_request_{}duration_seconds_sum{{.*configmaps.*{}.*}} (.+)"
        for own, seconds in (("", 3.0), ("sli_", 0.0)):
            for verb in ("PATCH", "POST"):
                found = re.findall(took.format(own, verb), text)
                assert [float(it) for it in found] == [pytest.approx(seconds)]

    case(test)


def test_nobody_waits_longer_than_a_fourth_of_a_minute() -> None:
    async def test(api: Served) -> None:
        level = await limit(api, queues=1, hand=1, length=300)
        for _ in range(30 * level.limit):
            slow(api)
        await turn()
        began = api.world.monotonic()
        one = slow(api)
        answer = await one
        assert answer.code == 429
        assert api.world.monotonic() - began == pytest.approx(WAIT_SECONDS)
        assert level.timed_out > 0

    case(test)


def test_who_goes_away_leaves_the_queue() -> None:
    async def test(api: Served) -> None:
        level = await limit(api)
        running = [slow(api) for _ in range(level.limit)]
        await turn()
        waits = slow(api)
        await turn()
        assert level.waiting == 1
        waits.cancel()
        await turn()
        assert (level.waiting, level.cancelled) == (0, 1)
        running[0].cancel()
        await turn()
        assert level.open

    case(test)


def test_a_watch_is_limited_until_it_has_begun() -> None:
    async def test(api: Served) -> None:
        level = await limit(api)
        watches = [await api.watch(MAPS, user=JANE) for _ in range(3 * level.limit)]
        assert level.idle
        assert level.open
        (await api.post(MAPS, config_map("a"), user=JANE)).ok()
        for watch in watches:
            assert (await watch.next())["type"] == "ADDED"
        for _ in range(level.limit + 40):
            slow(api)
        await turn()
        refused = asyncio.ensure_future(api.get(MAPS, user=JANE, watch="1"))
        await turn()
        assert refused.done()
        assert refused.result().code == 429

    case(test, FlowSettings())


def test_a_watch_within_a_websocket_is_not_limited_once_it_has_begun() -> None:
    async def test(api: Served) -> None:
        level = await limit(api)
        headers = {"connection": "Upgrade", "upgrade": "websocket"}
        headers |= {"sec-websocket-version": "13", "sec-websocket-key": "a"}
        request = Request("GET", MAPS, "watch=1", headers, peer=Peer(), user=JANE)
        answer = api.assembly.api.handle(request)
        found = answer if isinstance(answer, Response) else await answer
        assert found.status == 101
        assert level.idle

    case(test, FlowSettings())


def test_a_long_answer_keeps_its_seat_until_its_client_has_taken_it() -> None:
    async def test(api: Served) -> None:
        level = await limit(api)
        (await api.post(MAPS, config_map("big", data="x" * SHORT_BYTES))).ok()
        (await api.post(MAPS, config_map("small", data="x"))).ok()
        big = Request("GET", f"{MAPS}/big", "", {}, peer=Peer(), user=JANE)
        answer = api.assembly.api.handle(big)
        assert isinstance(answer, Response)
        assert level.seats == 1
        assert big.finished is not None
        big.finished()
        assert level.seats == 0
        small = Request("GET", f"{MAPS}/small", "", {}, peer=Peer(), user=JANE)
        api.assembly.api.handle(small)
        assert small.finished is None
        inside = Request("GET", f"{MAPS}/big", "", {}, user=JANE)
        api.assembly.api.handle(inside)
        assert inside.finished is None
        later = Request("GET", f"{MAPS}/big", f"resourceVersion={api.revision}", {}, user=JANE)
        later.peer = Peer()
        coming = api.assembly.api.handle(later)
        assert isinstance(coming, Response)
        assert level.seats == 1

    case(test)


def test_writes_that_many_watch_hold_seats_after_their_answer() -> None:
    async def test(api: Served) -> None:
        level = await limit(api, seats=20)
        for _ in range(30):
            await api.watch(MAPS)
        (await api.post(MAPS, config_map("a"), user=JANE)).ok()
        assert level.seats == 3
        assert not level.executing
        await asyncio.sleep(0.006)
        assert level.seats == 0

    case(test)


def test_a_change_of_configuration_is_taken_over_at_once() -> None:
    async def test(api: Served) -> None:
        level = await limit(api, queues=0)
        first = level.limit
        assert first == 5  # 2 of 247 shares of 600 seats, rounded up
        (
            await api.patch(f"{LEVELS}/few", {"spec": {"limited": {"nominalConcurrencyShares": 0}}})
        ).ok()
        await asyncio.sleep(1)
        assert level.limit == 0
        tasks = [slow(api) for _ in range(2)]
        await turn()
        assert len(level.executing) == 1
        (await api.delete(f"{SCHEMAS}/mine")).ok()
        await asyncio.sleep(1)
        assert (await api.get(f"{MAPS}/none", user=JANE)).code == 404
        assert not level.quiescing
        (await api.delete(f"{LEVELS}/few")).ok()
        await asyncio.sleep(1)
        assert level.quiescing
        await asyncio.gather(*tasks)
        await asyncio.sleep(1)
        with pytest.raises(KeyError):
            level_of(api, "few")

    case(test)


def test_a_flow_schema_says_whether_its_level_is_there() -> None:
    async def condition(api: Served) -> Document:
        await asyncio.sleep(1)
        found: Document = (await api.get(f"{SCHEMAS}/mine")).ok()["status"]["conditions"][0]
        return {name: value for name, value in found.items() if name != "lastTransitionTime"}

    async def test(api: Served) -> None:
        (await api.post(SCHEMAS, schema("mine", "few", "jane"))).ok()
        assert await condition(api) == {
            "type": "Dangling",
            "status": "True",
            "reason": "NotFound",
            "message": "This FlowSchema references the PriorityLevelConfiguration object named "
            '"few" but there is no such object',
        }
        (await api.post(LEVELS, few())).ok()
        found = await condition(api)
        assert (found["status"], found["reason"]) == ("False", "Found")
        assert found["message"].endswith('named "few" and it exists')
        entries = (await api.get(f"{SCHEMAS}/mine")).ok()["metadata"]["managedFields"]
        manager = "api-priority-and-fairness-config-consumer-v1"
        (mine,) = (entry for entry in entries if entry["manager"] == manager)
        assert (mine["operation"], mine["subresource"]) == ("Apply", "status")

    case(test)


def test_who_fights_over_a_condition_wins_after_a_while() -> None:
    async def test(api: Served) -> None:
        (await api.post(SCHEMAS, schema("mine", "few", "jane"))).ok()
        lie = [{"type": "Dangling", "status": "Unknown", "reason": "x", "message": "y",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]  # fmt: skip
        put_right = 0
        for _ in range(10):
            await asyncio.sleep(1)
            found = (await api.get(f"{SCHEMAS}/mine")).ok()
            put_right += found["status"]["conditions"][0]["status"] == "True"
            (await api.patch(f"{SCHEMAS}/mine/status", {"status": {"conditions": lie}})).ok()
        assert put_right == 6
        # a pause of 30 to 75 s may end before the minute has, and another one follows
        await asyncio.sleep(2 * 75)
        found = (await api.get(f"{SCHEMAS}/mine")).ok()
        assert found["status"]["conditions"][0]["status"] == "True"

    case(test)


def test_seats_are_lent_while_there_is_a_use_for_them_and_given_back() -> None:
    async def test(api: Served) -> None:
        level, other = level_of(api, "global-default"), level_of(api, "workload-low")
        before = level.limit, other.limit
        tasks: list[asyncio.Task[Answer]] = []
        for _ in range(8):
            tasks += [slow(api, User(f"u{count}", (EVERYBODY,))) for count in range(400)]
            await asyncio.sleep(3)
        assert level.limit > 2 * before[0]
        assert other.limit < before[1]
        assert level.observed.most > level.limits.nominal
        await asyncio.gather(*tasks)
        await asyncio.sleep(3600)
        assert abs(level.limit - before[0]) <= 2
        assert abs(other.limit - before[1]) <= 2
        assert not level.measured

    case(test)


def test_without_fairness_there_are_two_limits() -> None:
    async def test(api: Served) -> None:
        reads = [slow(api) for _ in range(3)]
        await turn()
        refused = await api.get(f"{MAPS}/none", user=JANE)
        assert (refused.code, refused.headers["Retry-After"]) == (429, "1")
        assert SCHEMA_UID not in refused.headers
        assert (await api.get(f"{MAPS}/none")).code == 404
        (await api.post(MAPS, config_map("a"), user=JANE)).ok()
        watch = await api.watch(MAPS, user=JANE)
        assert (await watch.next())["object"]["metadata"]["name"] == "a"
        assert [(await task).code for task in reads] == [504] * 3
        assert (await api.get(f"{MAPS}/none", user=JANE)).code == 404
        assert (await api.get(f"{DEBUG}/dump_requests")).code == 404
        assert "apiserver_flowcontrol" not in (await api.get("/metrics")).document.decode()

    case(test, FlowSettings(3, 1, fair=False))


def test_a_limit_of_zero_is_none() -> None:
    async def test(api: Served) -> None:
        for _ in range(500):
            slow(api)
        await turn()
        assert (await api.get(f"{MAPS}/none", user=JANE)).code == 404

    case(test, FlowSettings(0, 0, fair=False))


def test_metrics_tell_what_waits_and_what_runs() -> None:
    async def test(api: Served) -> None:
        level = await limit(api, queues=1, hand=1, length=3)
        for _ in range(level.limit + 4):
            slow(api)
        await turn()
        await api.get(f"{MAPS}/none", user=JANE)
        text = (await api.get("/metrics")).document.decode()
        of = 'flow_schema="mine",priority_level="few"'
        for line in (
            f"apiserver_flowcontrol_current_inqueue_requests{{{of}}} 3",
            f"apiserver_flowcontrol_current_inqueue_seats{{{of}}} 3",
            f"apiserver_flowcontrol_current_executing_requests{{{of}}} 5",
            f"apiserver_flowcontrol_current_executing_seats{{{of}}} 5",
            f"apiserver_flowcontrol_dispatched_requests_total{{{of}}} 5",
            f'apiserver_flowcontrol_rejected_requests_total{{{of},reason="queue-full"}} 2',
            f'apiserver_flowcontrol_request_queue_length_after_enqueue_bucket{{{of},le="0"}} 0',
            f"apiserver_flowcontrol_request_queue_length_after_enqueue_count{{{of}}} 3",
            f"apiserver_flowcontrol_work_estimated_seats_sum{{{of}}} 10.000000",
            'apiserver_flowcontrol_nominal_limit_seats{priority_level="few"} 5',
            'apiserver_flowcontrol_current_limit_seats{priority_level="few"} 5',
            'apiserver_flowcontrol_lower_limit_seats{priority_level="workload-low"} 24',
            "# TYPE apiserver_flowcontrol_seat_fair_frac gauge",
            "# TYPE apiserver_flowcontrol_request_wait_duration_seconds histogram",
        ):
            assert line in text.splitlines()
        await asyncio.sleep(20)
        text = (await api.get("/metrics")).document.decode()
        waited = f'apiserver_flowcontrol_request_wait_duration_seconds_bucket{{{of},execute="true"'
        assert f'{waited},le="0"}} 5' in text
        assert f'{waited},le="5"}} 8' in text
        ran = f'apiserver_flowcontrol_request_execution_seconds_count{{{of},type="regular"}} 8'
        assert ran in text

    case(test)


def test_pages_show_levels_queues_and_requests() -> None:
    async def test(api: Served) -> None:
        level = await limit(api, queues=1, hand=1, length=3)
        for _ in range(level.limit + 1):
            slow(api)
        await turn()
        page = (await api.get(f"{DEBUG}/dump_priority_levels")).document.decode()
        head, *rows = page.splitlines()
        assert head.split() == [
            "PriorityLevelName,", "ActiveQueues,", "IsIdle,", "IsQuiescing,", "WaitingRequests,",
            "ExecutingRequests,", "DispatchedRequests,", "RejectedRequests,", "TimedoutRequests,",
            "CancelledRequests",
        ]  # fmt: skip
        few = next(row for row in rows if row.startswith("few"))
        cells = [cell.strip() for cell in few.split(",")]
        assert cells == ["few", "1", "false", "false", "1", "5", "5", "0", "0", "0"]
        assert few.startswith("few,               1,            false,  false,       1,")
        queues = (await api.get(f"{DEBUG}/dump_queues")).document.decode().splitlines()
        row = [
            cell.strip() for cell in queues if cell.startswith("few") for cell in cell.split(",")
        ]
        assert row[:5] == ["few", "0", "1", "5", "5"]
        assert row[6:] == ["1", "1", "0.00300000ss"]
        assert row[5].endswith("ss")
        requests = (await api.get(f"{DEBUG}/dump_requests")).document.decode().splitlines()
        mine = [
            [cell.strip() for cell in row.split(",")] for row in requests if row.startswith("few")
        ]
        assert [row[:5] for row in mine] == [
            ["few", "mine", "0", "0", ""],
            *[["few", "mine", "0", "-1", ""]] * 5,
        ]
        assert mine[0][6:] == ["1", "0", "0s", "0001-01-01T00:00:00Z"]
        assert mine[1][9].startswith("2026-01-01T00:00:0")
        whole = await api.get(f"{DEBUG}/dump_requests", includeRequestDetails="1")
        head, *rows = whole.document.decode().splitlines()
        assert head.split()[-1] == "SubResource"
        last = [cell.strip() for cell in rows[-1].split(",")]
        row = next(row for row in rows if row.startswith("few"))
        assert [cell.strip() for cell in row.split(",")][10:] == [
            "jane", "get", f"{MAPS}/none", "default", "none", "v1", "configmaps", "",
        ]  # fmt: skip
        assert len(last) == 18

    case(test)
