"""The account of a pod: whose it is, its token and what else comes with it."""

from __future__ import annotations

from typing import Any

import pytest

from served import PODS, Served, pod, served

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
PLACE = "/var/run/secrets/kubernetes.io/serviceaccount"


async def made(api: Served, name: str = "p", **spec: Any) -> dict[str, Any]:
    """Returns the spec of a new pod."""
    found: dict[str, Any] = (await api.post(PODS, pod(name, **spec))).ok()["spec"]
    return found


def places(containers: list[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    """Returns what each container mounts, and where."""
    mounts = [it.get("volumeMounts") or [] for it in containers]
    return [[(it["name"], it["mountPath"]) for it in found] for found in mounts]


@served
async def test_a_pod_has_the_default_account_and_its_token_in_every_container(api: Served) -> None:
    first = {"name": "a", "image": "i"}
    spec = await made(api, initContainers=[{**first, "name": "b"}], containers=[first])
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    (volume,) = spec["volumes"]
    mount = {"name": volume["name"], "mountPath": PLACE, "readOnly": True}
    assert [it["volumeMounts"] for it in spec["initContainers"]] == [[mount]]
    assert [it["volumeMounts"] for it in spec["containers"]] == [[mount]]
    assert volume["name"].startswith("kube-api-access-")
    files = [next(iter(source)) for source in volume["projected"]["sources"]]
    assert files == ["serviceAccountToken", "configMap", "downwardAPI"]


@served
async def test_a_volume_without_a_name_is_the_checks_to_refuse(api: Served) -> None:
    answer = await api.post(PODS, pod("p", volumes=[{"emptyDir": {}}]))
    assert (answer.code, answer.document["reason"]) == (422, "Invalid")
    assert "spec.volumes[0].name: Required value" in answer.message


@served
async def test_what_a_container_mounts_in_that_place_stays(api: Served) -> None:
    own = {"name": "own", "emptyDir": {}}
    has = {"name": "a", "image": "i", "volumeMounts": [{"name": "own", "mountPath": PLACE}]}
    spec = await made(api, "one", volumes=[own], containers=[has, {"name": "b", "image": "i"}])
    token = spec["volumes"][1]["name"]
    assert places(spec["containers"]) == [[("own", PLACE)], [(token, PLACE)]]
    spec = await made(api, "two", volumes=[own], containers=[has])
    assert [it["name"] for it in spec["volumes"]] == ["own"]
    assert places(spec["containers"]) == [[("own", PLACE)]]


@served
async def test_a_token_volume_that_a_pod_brings_is_mounted_and_no_second_is_made(
    api: Served,
) -> None:
    brought = {"name": "kube-api-access-abcde", "emptyDir": {}}
    spec = await made(api, volumes=[brought])
    assert [it["name"] for it in spec["volumes"]] == ["kube-api-access-abcde"]
    assert places(spec["containers"]) == [[("kube-api-access-abcde", PLACE)]]


@served
async def test_pod_and_account_say_whether_there_is_a_token_and_the_pod_has_the_last_word(
    api: Served,
) -> None:
    quiet = {"metadata": {"name": "quiet"}, "automountServiceAccountToken": False}
    (await api.post(ACCOUNTS, quiet)).ok()
    wanted = {"serviceAccountName": "quiet"}
    assert "volumes" not in await made(api, "a", **wanted)
    assert "volumes" not in await made(api, "b", automountServiceAccountToken=False)
    assert (await made(api, "c", **wanted, automountServiceAccountToken=True))["volumes"]


@served
async def test_a_pod_takes_the_pull_secrets_that_its_account_has_now(api: Served) -> None:
    assert "imagePullSecrets" not in await made(api, "a")
    for name in ("one", "two"):
        secrets = [{"name": name}]
        (await api.patch(f"{ACCOUNTS}/default", {"imagePullSecrets": secrets})).ok()
        assert (await made(api, name))["imagePullSecrets"] == secrets
    own = [{"name": "own"}]
    assert (await made(api, "b", imagePullSecrets=own))["imagePullSecrets"] == own


MIRROR = {"kubernetes.io/config.mirror": "x"}
SECRET = {"name": "s", "key": "k"}


def mirror(**spec: Any) -> dict[str, Any]:
    made = pod("m", **{"nodeName": "n", **spec})
    made["metadata"]["annotations"] = MIRROR
    return made


@served
async def test_a_mirror_pod_is_left_as_it_is(api: Served) -> None:
    spec = (await api.post(PODS, mirror())).ok()["spec"]
    assert "volumes" not in spec
    assert "serviceAccountName" not in spec


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"serviceAccountName": "default"}, "reference service accounts"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "reference secrets"),
        ({"imagePullSecrets": [{"name": "s"}]}, "reference secrets"),
        (
            {
                "containers": [
                    {
                        "name": "a",
                        "image": "i",
                        "env": [{"name": "E", "valueFrom": {"secretKeyRef": SECRET}}],
                    }
                ]
            },
            "reference secrets",
        ),
    ],
)
@served
async def test_a_mirror_pod_uses_nothing_of_the_clusters(
    api: Served, spec: dict[str, Any], told: str
) -> None:
    refused = await api.post(PODS, mirror(**spec))
    why = f'pods "m" is forbidden: a mirror pod may not {told}'
    assert (refused.code, refused.message) == (403, why)


@served
async def test_the_older_name_of_the_field_counts_where_the_newer_is_not_there(
    api: Served,
) -> None:
    (await api.post(ACCOUNTS, {"metadata": {"name": "old"}})).ok()
    spec = await made(api, serviceAccount="old")
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("old", "old")
    spec = await made(api, "q", serviceAccount="old", serviceAccountName="default")
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")


@served
async def test_an_update_gives_a_pod_nothing(api: Served) -> None:
    await made(api, automountServiceAccountToken=False)
    changed = (await api.patch(f"{PODS}/p", {"metadata": {"labels": {"a": "b"}}})).ok()
    assert "volumes" not in changed["spec"]


@served
async def test_a_pod_of_an_account_that_is_not_there_is_refused(api: Served) -> None:
    answer = await api.post(PODS, pod("a", serviceAccountName="nobody"))
    assert (answer.code, answer.message) == (
        403,
        'pods "a" is forbidden: error looking up service account default/nobody: serviceaccount '
        '"nobody" not found',
    )
