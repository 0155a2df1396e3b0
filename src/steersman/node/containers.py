"""What a pod's spec says of its containers: in which order they begin, and when again."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container, ContainerPort, RestartRule
from steersman.node.observed import UNKNOWN, Observed, Run, Seen
from steersman.node.static.marks import is_static

# kubelet's back-off of containers: the first restart is at once, then 10 s doubling to 300 s;
# twice the longest without a restart ends it (client-go flowcontrol.Backoff)
FIRST_BACKOFF_SECONDS = 10.0
LAST_BACKOFF_SECONDS = 300.0
FORGET_BACKOFF_SECONDS = 2 * LAST_BACKOFF_SECONDS
# What the kubelet gives pods that the API has no more
GONE_GRACE_SECONDS = 1.0
# The action of a rule that has all containers of a pod begin anew
RESTART_ALL: Final = "RestartAllContainers"


def is_sidecar(container: Container) -> bool:
    """Whether an init container goes on beside the others."""
    return container.restart_policy == "Always"


def all_containers(pod: Pod) -> tuple[Container, ...]:
    """Init containers, containers and ephemeral ones."""
    return pod.spec.init_containers + pod.spec.containers + pod.spec.ephemeral_containers


def find(pod: Pod, name: str) -> Container | None:
    """The container of a name."""
    return next((found for found in all_containers(pod) if found.name == name), None)


def is_init(pod: Pod, container: Container) -> bool:
    """Whether a container is one of the init containers."""
    return any(found.name == container.name for found in pod.spec.init_containers)


def is_ephemeral(pod: Pod, container: Container) -> bool:
    """Whether a container was added to a pod that runs."""
    return any(found.name == container.name for found in pod.spec.ephemeral_containers)


def list_of(pod: Pod, name: str) -> str:
    """Returns the list of the spec in which a container stands."""
    if any(found.name == name for found in pod.spec.init_containers):
        return "initContainers"
    if any(found.name == name for found in pod.spec.ephemeral_containers):
        return "ephemeralContainers"
    return "containers"


def policy_of(pod: Pod, container: Container) -> str:
    """Returns when a container runs again: as it says itself, else as its pod says."""
    return container.restart_policy or pod.spec.restart_policy


def starts_again(pod: Pod, container: Container, run: Run) -> bool:
    """Whether a run that ended is to be followed by another."""
    if run.again:
        return True
    if is_ephemeral(pod, container):
        return False
    if action_on(container, run):
        return True
    policy = policy_of(pod, container)
    if is_init(pod, container) and not is_sidecar(container):
        return run.exit_code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and run.exit_code != 0)


def action_on(container: Container, run: Run) -> str:
    """Returns what the first rule says that is about a run's end (KEP-5307), nothing for none."""
    rules = container.restart_policy_rules
    return next((it.action for it in rules if _applies(it, run.exit_code)), "")


def may_restart_all(pod: Pod) -> bool:
    """Whether a rule can have all containers begin anew (KEP-5532)."""
    return any(
        rule.action == RESTART_ALL
        for container in pod.spec.init_containers + pod.spec.containers
        for rule in container.restart_policy_rules
    )


def restarts_all(pod: Pod, name: str, run: Run) -> bool:
    """Whether the end of a run has all containers begin anew."""
    ruled = (it for it in pod.spec.init_containers + pod.spec.containers if it.name == name)
    return any(action_on(it, run) == RESTART_ALL for it in ruled)


def reset(seen: Observed, pod: Pod) -> Observed:
    """Returns what is observed once all but the ephemeral containers are to begin anew."""
    for container in pod.spec.init_containers + pod.spec.containers:
        known = seen.of(container.name)
        if known.run is None:
            continue
        # Only who had all of them end waits for it, lest the pod goes round and round
        backoff = known.backoff if action_on(container, known.run) == RESTART_ALL else 0.0
        run = replace(known.run, again=True, reset=True)
        seen = seen.having(container.name, replace(known, run=run, backoff=backoff))
    return replace(seen, restarting=False)


def _applies(rule: RestartRule, exit_code: int) -> bool:
    """Whether a rule is about an exit code."""
    if rule.action not in ("Restart", RESTART_ALL) or not rule.exit_codes:
        return False
    named = exit_code in rule.exit_codes.get("values", ())
    return named == (rule.exit_codes.get("operator") == "In")


def next_backoff(seen: Seen, now: float) -> float:
    """What the restart after the next one has to wait."""
    if not seen.backoff or now - seen.backoff_at > FORGET_BACKOFF_SECONDS:
        return FIRST_BACKOFF_SECONDS
    return min(seen.backoff * 2, LAST_BACKOFF_SECONDS)


def restart_at(seen: Seen) -> float:
    """When a container whose run has ended may run again; at once where the machine lost it."""
    run = seen.exited
    if run is None or not seen.backoff or run.reason == UNKNOWN:
        return 0.0
    if run.finished_at - seen.backoff_at > FORGET_BACKOFF_SECONDS:
        return 0.0
    return run.finished_at + seen.backoff


def is_done(pod: Pod, container: Container, seen: Seen) -> bool:
    """Whether a container has ended for good."""
    run = seen.exited
    return run is not None and not starts_again(pod, container, run)


def is_past(pod: Pod, container: Container, seen: Seen) -> bool:
    """Whether what comes after an init container may begin."""
    if is_sidecar(container):
        return seen.running and seen.started
    run = seen.exited
    return run is not None and run.exit_code == 0 and not run.reset


def grace_seconds(pod: Pod, gone: bool) -> float:
    """How long containers have to end by themselves; hardly, where the object is gone already."""
    if gone and not is_static(pod):
        return GONE_GRACE_SECONDS
    asked = pod.metadata.deletion_grace_period_seconds
    return float(pod.spec.termination_grace_period_seconds if asked is None else asked)


def host_ports(pod: Pod) -> tuple[ContainerPort, ...]:
    """Returns the ports of the node that a pod asks for, of its sidecars too."""
    sidecars = (it for it in pod.spec.init_containers if is_sidecar(it))
    found = (port for it in (*pod.spec.containers, *sidecars) for port in it.ports)
    return tuple(it for it in found if it.host_port)
