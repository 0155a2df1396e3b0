"""Images that cannot be had: what the pod says, in upstream's words."""

from __future__ import annotations

import pytest
from steered import TOOLS, Cluster, pod, state, waiting

# A registry that refuses connections: nothing listens on this port of loopback
NOWHERE = "127.0.0.1:1/missing:1"


def with_image(name: str, image: str, **more: str) -> dict[str, object]:
    """Returns a pod of an image."""
    return pod(name, {"name": "main", "image": image, **more})


def test_an_image_that_is_not_there_backs_off(cluster: Cluster, namespace: str) -> None:
    cluster.apply(namespace, with_image("missing", NOWHERE))
    where = ("-n", namespace)
    cluster.until(lambda found: waiting(found) == "ErrImagePull", "pod", "missing", *where)
    found = cluster.until(
        lambda found: waiting(found) == "ImagePullBackOff", "pod", "missing", *where
    )
    message = state(found)["waiting"]["message"]
    assert message.startswith(f'Back-off pulling image "{NOWHERE}"')
    assert cluster.until_event("missing", "Pulling", *where)["message"] == (
        f'Pulling image "{NOWHERE}"'
    )
    failed = cluster.until_event("missing", "Failed", *where)["message"]
    assert failed.startswith((f'Failed to pull image "{NOWHERE}": ', "Error: ErrImagePull"))
    backed = cluster.until_event("missing", "BackOff", *where)["message"]
    assert backed == f'Back-off pulling image "{NOWHERE}"'
    row = cluster.kubectl("get", "pod", "missing", "--no-headers", *where).split()
    assert row[1] == "0/1" and row[2] in ("ErrImagePull", "ImagePullBackOff")


@pytest.mark.parametrize(
    ("image", "policy", "reason"),
    [
        ("Not A/Name", "IfNotPresent", "InvalidImageName"),
        ("absent:1", "Never", "ErrImageNeverPull"),
    ],
)
def test_an_image_that_may_not_be_pulled_is_refused_with_its_reason(
    cluster: Cluster, namespace: str, image: str, policy: str, reason: str
) -> None:
    cluster.apply(namespace, with_image("refused", image, imagePullPolicy=policy))
    cluster.until(lambda found: waiting(found) == reason, "pod", "refused", "-n", namespace)


def test_the_images_table_lists_what_was_built(cluster: Cluster) -> None:
    assert TOOLS.partition(":")[0] in cluster.steer("images")
