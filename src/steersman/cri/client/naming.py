"""The labels and annotations by which what is in a runtime is known again: pure.

Names are the kubelet's (kuberuntime/labels.go), so that crictl and others see what they expect.
One is ours: whose a sandbox is, so that of a runtime that others use nothing of theirs is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from steersman.cri.messages.containers import Container
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container as Specified
from steersman.node.observed import engine_name

POD_NAME: Final = "io.kubernetes.pod.name"
POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
POD_UID: Final = "io.kubernetes.pod.uid"
CONTAINER_NAME: Final = "io.kubernetes.container.name"
RESTARTS: Final = "io.kubernetes.container.restartCount"
MESSAGE_PATH: Final = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY: Final = "io.kubernetes.container.terminationMessagePolicy"
POD_GRACE: Final = "io.kubernetes.pod.terminationGracePeriod"
CLUSTER: Final = "steersman.io/cluster"


def render_pod_labels(pod: Pod, cluster: str) -> dict[str, str]:
    """Returns the labels of a sandbox: those of its pod and those by which it is found."""
    return {**pod.metadata.labels, **_names(pod), CLUSTER: cluster}


def render_labels(pod: Pod, container: Specified, cluster: str) -> dict[str, str]:
    """Returns the labels of one run."""
    return {**_names(pod), CONTAINER_NAME: container.name, CLUSTER: cluster}


def _names(pod: Pod) -> dict[str, str]:
    metadata = pod.metadata
    return {POD_NAME: metadata.name, POD_NAMESPACE: metadata.namespace, POD_UID: metadata.uid}


def render_annotations(pod: Pod, container: Specified, attempt: int) -> dict[str, str]:
    """Returns the annotations of one run."""
    return {
        RESTARTS: str(attempt),
        MESSAGE_PATH: container.termination_message_path,
        MESSAGE_POLICY: container.termination_message_policy,
        POD_GRACE: str(pod.spec.termination_grace_period_seconds),
    }


def uid_of(labels: Mapping[str, str]) -> str:
    """Returns the pod to which something belongs."""
    return labels.get(POD_UID, "")


def name_of(container: Container) -> str:
    """Returns the name by which the agent knows a run."""
    attempt = container.metadata.attempt if container.metadata is not None else 0
    return engine_name(container.labels.get(CONTAINER_NAME, ""), attempt)
