"""Pods in control groups by their class of service, and what each class has of the processors."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cri_kubelet import until
from node_cluster import SLEEP, Cluster, Session, clusters, needs_root, runs

from steersman.model.kinds.pod import Pod
from steersman.node.service_classes import groups_of

GROUPS = Path("/sys/fs/cgroup")
pytestmark = [
    *needs_root,
    pytest.mark.skipif(
        not (GROUPS / "cpu").is_dir(), reason="control groups of version 1 are read"
    ),
]
ASKS = {"requests": {"cpu": "250m", "memory": "16Mi"}}
ALL = {"cpu": "100m", "memory": "16Mi"}
BOUND = {"requests": ALL, "limits": ALL}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with clusters() as made:
        yield made


def below(cluster: Cluster, pod: Pod) -> list[str]:
    """Returns the groups that a pod has, below that of all pods."""
    root = GROUPS / "cpu" / f"steersman-{cluster.id}"
    return [group for group in groups_of(pod.metadata.uid) if (root / group / "app.0").is_dir()]


def shares(cluster: Cluster, name: str) -> int:
    return int((GROUPS / "cpu" / f"steersman-{cluster.id}" / name / "cpu.shares").read_text())


def test_pods_are_in_the_groups_of_their_classes_which_have_what_all_of_them_ask_for(
    cluster: Cluster,
) -> None:
    async def scenario(session: Session) -> None:
        assert (shares(cluster, "burstable"), shares(cluster, "besteffort")) == (2, 2)

        async def begun(name: str, **fields: Any) -> Pod:
            await session.create(name, script=SLEEP, **fields)
            return await session.until(name, runs)

        some, more = [await begun(name, resources=ASKS) for name in ("some", "more")]
        least, sure = await begun("least"), await begun("sure", resources=BOUND)
        assert below(cluster, some) == [f"burstable/pod{some.metadata.uid}"]
        assert below(cluster, least) == [f"besteffort/pod{least.metadata.uid}"]
        assert below(cluster, sure) == [f"pod{sure.metadata.uid}"]
        assert (shares(cluster, "burstable"), shares(cluster, "besteffort")) == (512, 2)
        os.kill(cluster.agent(), signal.SIGKILL)
        await session.delete("more", 0)
        await until(lambda: shares(cluster, "burstable") == 256)
        for name in ("some", "least", "sure"):
            await session.delete(name, 0)
        await until(lambda: shares(cluster, "burstable") == 2)
        assert not any(below(cluster, pod) for pod in (some, more, least, sure))

    cluster.run(scenario)
