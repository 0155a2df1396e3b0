"""LimitRanger: defaults that a namespace gives, and what it refuses in which words."""

from __future__ import annotations

from typing import Any

import pytest
from tests.served import Served, pod, served

from steersman.api.admission.limit_ranger import check_claim, check_pod, with_defaults

PODS = "/api/v1/namespaces/default/pods"
RANGES = "/api/v1/namespaces/default/limitranges"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


def limit(kind: str, **bounds: Any) -> dict[str, Any]:
    return {"type": kind, **bounds}


def container(name: str, requests: Any = None, limits: Any = None) -> dict[str, Any]:
    found = {"requests": requests, "limits": limits}
    return {"name": name, "resources": {key: value for key, value in found.items() if value}}


def with_containers(*containers: Any, init: Any = ()) -> dict[str, Any]:
    return pod("p", containers=list(containers), initContainers=list(init))


def test_defaults_fill_what_a_container_does_not_name_and_say_so() -> None:
    bounds = limit("Container", default={"cpu": "1", "memory": "1Gi"}, defaultRequest={"cpu": "1m"})
    given = with_containers(container("a", limits={"cpu": "2"}), init=[container("i")])
    made = with_defaults(given, [bounds])
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "1m"},
        "limits": {"cpu": "2", "memory": "1Gi"},
    }
    assert made["spec"]["initContainers"][0]["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container a; memory limit for container a;"
        " cpu request for init container i; cpu, memory limit for init container i"
    )
    assert given["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "2"}}


def test_a_pod_that_needs_no_default_stays_the_same_object() -> None:
    given = with_containers(container("a", {"cpu": "1"}, {"cpu": "1"}))
    bounds = [limit("Container", default={"cpu": "2"}), limit("Pod", default={"memory": "1"})]
    assert with_defaults(given, bounds) is given


@pytest.mark.parametrize(
    ("bounds", "requests", "limits", "reason"),
    [
        ({"min": {"cpu": "100m"}}, None, None,
         "minimum cpu usage per Container is 100m.  No request is specified"),
        ({"min": {"cpu": "100m"}}, {"cpu": "50m"}, None,
         "minimum cpu usage per Container is 100m, but request is 50m"),
        ({"min": {"cpu": "100m"}}, {"cpu": "100m"}, {"cpu": "50m"},
         "minimum cpu usage per Container is 100m, but limit is 50m"),
        ({"max": {"cpu": "1"}}, {"cpu": "1"}, None,
         "maximum cpu usage per Container is 1.  No limit is specified"),
        ({"max": {"cpu": "1"}}, None, {"cpu": "1001m"},
         "maximum cpu usage per Container is 1, but limit is 1001m"),
        ({"max": {"cpu": "1"}}, {"cpu": "2"}, {"cpu": "1"},
         "maximum cpu usage per Container is 1, but request is 2"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, None, {"cpu": "1"},
         "cpu max limit to request ratio per Container is 2, but no request is specified or"
         " request is 0"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {"cpu": "1"}, {"cpu": "0"},
         "cpu max limit to request ratio per Container is 2, but no limit is specified or"
         " limit is 0"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {"cpu": "1"}, {"cpu": "3"},
         "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"),
    ],
)  # fmt: skip
def test_a_container_out_of_bounds_is_told_why(
    bounds: Any, requests: Any, limits: Any, reason: str
) -> None:
    given = with_containers(container("a", requests, limits))
    assert list(check_pod(given, [limit("Container", **bounds)])) == [reason]
    later = with_containers(
        container("good", {"cpu": "1"}, {"cpu": "1"}), init=[container("i", requests, limits)]
    )
    assert list(check_pod(later, [limit("Container", **bounds)])) == [reason]


def test_a_container_at_its_bounds_is_good() -> None:
    bounds = limit(
        "Container", min={"cpu": "1"}, max={"cpu": "2"}, maxLimitRequestRatio={"cpu": "2"}
    )
    assert not list(
        check_pod(with_containers(container("a", {"cpu": "1"}, {"cpu": "2"})), [bounds])
    )


def test_a_pod_counts_the_sum_of_containers_or_its_largest_init_container() -> None:
    one = container("a", {"cpu": "1"}, {"cpu": "1"})
    bounds = [limit("Pod", max={"cpu": "2"})]
    assert not list(check_pod(with_containers(one, one), bounds))
    assert list(check_pod(with_containers(one, one, one), bounds)) == [
        "maximum cpu usage per Pod is 2, but limit is 3"
    ]
    large = container("i", {"cpu": "5"}, {"cpu": "5"})
    for init in ([large], [large, one], [one, large]):
        assert list(check_pod(with_containers(one, init=init), bounds)) == [
            "maximum cpu usage per Pod is 2, but limit is 5"
        ]
    assert list(check_pod(with_containers(one, container("b")), bounds)) == [
        "maximum cpu usage per Pod is 2.  No limit is specified"
    ]


def test_a_claim_asks_for_neither_too_little_nor_too_much() -> None:
    bounds = [limit("PersistentVolumeClaim", min={"storage": "1Gi"}, max={"storage": "2Gi"})]

    def reasons(amount: str) -> list[str]:
        return list(check_claim({"spec": {"resources": {"requests": {"storage": amount}}}}, bounds))

    assert reasons("1Gi") == reasons("2Gi") == []
    assert reasons("1Mi") == [
        "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"
    ]
    assert reasons("3Gi") == [
        "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
    ]
    assert list(check_claim({"spec": {}}, bounds)) == [
        "minimum storage usage per PersistentVolumeClaim is 1Gi.  No request is specified",
        "maximum storage usage per PersistentVolumeClaim is 2Gi.  No request is specified",
    ]


@served
async def test_a_namespace_with_a_limit_range_gives_and_refuses(api: Served) -> None:
    limits = [limit("Container", default={"cpu": "500m"}, max={"cpu": "1"}),
              limit("PersistentVolumeClaim", max={"storage": "1Gi"})]  # fmt: skip
    made = {"metadata": {"name": "bounds"}, "spec": {"limits": limits}}
    (await api.post(PODS, pod("before"))).ok()
    (await api.post(RANGES, made)).ok()
    given = (await api.post(PODS, pod("given"))).ok()
    assert given["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m"}
    again = (await api.post(PODS, pod("again"))).ok()
    assert again["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m"}
    large = [{"name": n, "image": "b", "resources": {"limits": {"cpu": "2"}}} for n in ("a", "b")]
    refused = await api.post(PODS, pod("large", containers=large[:1]))
    assert (refused.code, refused.message) == (
        403,
        'pods "large" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
    )
    twice = await api.post(PODS, pod("large", containers=large))
    assert twice.message.endswith(
        "[maximum cpu usage per Container is 1, but limit is 2,"
        " maximum cpu usage per Container is 1, but limit is 2]"
    )
    claim = {
        "metadata": {"name": "c"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}},
        },
    }
    refused = await api.post(CLAIMS, claim)
    assert (refused.code, refused.message) == (
        403,
        'persistentvolumeclaims "c" is forbidden: maximum storage usage per PersistentVolumeClaim'
        " is 1Gi, but request is 2Gi",
    )
    (await api.delete(f"{RANGES}/bounds")).ok()
    (await api.post(PODS, pod("large", containers=large))).ok()
    patched = {"metadata": {"labels": {"a": "b"}}}
    (await api.post(RANGES, made)).ok()
    (await api.patch(f"{PODS}/large", patched)).ok()  # only creation is held against the limits
