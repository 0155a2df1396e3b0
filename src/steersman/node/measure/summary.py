"""`/stats/summary`: kubelet's Summary (pkg/kubelet/apis/stats/v1alpha1), from one look at
everything; pure.

What this agent does not count is left out: page faults, swap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steersman.model.kind import Document
from steersman.model.times import rfc3339
from steersman.node.measure.files import Filled, MeasuredFiles, MeasuredVolume
from steersman.node.measure.measuring import Machine, Measured, MeasuredPod
from steersman.node.measure.reading import Disk, Reading, Traffic

# What was read before, by control group: without it there is no rate
Before = Mapping[str, Reading]


def summary(
    node: str,
    machine: Machine,
    pods: Sequence[MeasuredPod],
    before: Before,
    files: Mapping[str, MeasuredFiles],
) -> Document:
    """Returns what the node and its pods use; `files` is by the uids of pods."""
    now = machine.whole.time
    told: Document = {
        "nodeName": node,
        "startTime": rfc3339(machine.booted),
        **_use(machine.whole, before.get("")),
        **_network(machine.traffic, now),
        "fs": _disk(machine.disk, now),
        "runtime": {"imageFs": _disk(machine.images, now)},
        "rlimit": {"time": rfc3339(now), "maxpid": machine.most_processes},
    }
    none = MeasuredFiles(now)
    return {"node": told, "pods": [_pod(it, before, files.get(it.uid, none)) for it in pods]}


def readings(machine: Machine, pods: Sequence[MeasuredPod]) -> dict[str, Reading]:
    """Returns what is to be remembered of one look, by control group."""
    found = {"": machine.whole}
    for pod in pods:
        if pod.whole is not None:
            found[pod.uid] = pod.whole
        found |= {f"{pod.uid}/{one.id}": one.reading for one in pod.containers}
    return found


def only_cpu_and_memory(whole: Document) -> Document:
    """Returns the short form (`?only_cpu_and_memory=true`)."""
    kept = ("nodeName", "podRef", "name", "startTime", "cpu", "memory", "containers")

    def short(told: Document) -> Document:
        found = {name: told[name] for name in kept if name in told}
        if "containers" in found:
            found["containers"] = [short(one) for one in found["containers"]]
        return found

    return {"node": short(whole["node"]), "pods": [short(pod) for pod in whole["pods"]]}


def _pod(pod: MeasuredPod, before: Before, files: MeasuredFiles) -> Document:
    told: Document = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": rfc3339(pod.began),
        "containers": [_container(pod, one, before, files) for one in pod.containers],
    }
    if files.volumes:
        told["volume"] = [_volume(pod, it) for it in files.volumes]
    if files.whole is not None:
        told["ephemeral-storage"] = _filled(files.whole)
    if pod.whole is None:
        return told
    return {
        **told,
        **_use(pod.whole, before.get(pod.uid)),
        **_network(pod.traffic, pod.whole.time),
        "process_stats": {"process_count": pod.whole.processes},
    }


def _container(pod: MeasuredPod, one: Measured, before: Before, files: MeasuredFiles) -> Document:
    use = _use(one.reading, before.get(f"{pod.uid}/{one.id}"))
    told: Document = {"name": one.name, "startTime": rfc3339(one.began), **use}
    for name, known in (("rootfs", files.written), ("logs", files.logs)):
        if (found := known.get(one.name)) is not None:
            told[name] = _filled(found)
    return told


def _volume(pod: MeasuredPod, volume: MeasuredVolume) -> Document:
    told = {"name": volume.name, **_filled(volume.filled)}
    if volume.claim:
        told["pvcRef"] = {"name": volume.claim, "namespace": pod.namespace}
    return told


def _filled(found: Filled) -> Document:
    told = {
        "time": rfc3339(found.time),
        "availableBytes": found.available_bytes,
        "capacityBytes": found.capacity_bytes,
        "usedBytes": found.used_bytes,
        "inodesFree": found.inodes_free,
        "inodes": found.inodes,
        "inodesUsed": found.inodes_used,
    }
    return {name: amount for name, amount in told.items() if amount is not None}


def _use(now: Reading, before: Reading | None) -> Document:
    time = rfc3339(now.time)
    cpu: Document = {"time": time, "usageCoreNanoSeconds": now.cpu_nanos}
    if before is not None and now.time > before.time and now.cpu_nanos >= before.cpu_nanos:
        rate = (now.cpu_nanos - before.cpu_nanos) / (now.time - before.time)
        cpu["usageNanoCores"] = round(rate)
    memory: Document = {
        "time": time,
        "usageBytes": now.usage_bytes,
        "workingSetBytes": now.working_set_bytes,
        "rssBytes": now.rss_bytes,
    }
    if now.limit_bytes:
        memory["availableBytes"] = max(0, now.limit_bytes - now.working_set_bytes)
    return {"cpu": cpu, "memory": memory, **_swap(now)}


def _swap(now: Reading) -> Document:
    """Returns the swap in use, and what of it is left where it is limited
    (cadvisorInfoToSwapStats)."""
    if now.swap_bytes is None:
        return {}
    swap: Document = {"time": rfc3339(now.time), "swapUsageBytes": now.swap_bytes}
    if now.swap_limit_bytes is not None:
        swap["swapAvailableBytes"] = max(0, now.swap_limit_bytes - now.swap_bytes)
    return {"swap": swap}


def _network(traffic: Sequence[Traffic], now: float) -> Document:
    if not traffic:
        return {}
    links = [
        {
            "name": link.name,
            "rxBytes": link.received_bytes,
            "rxErrors": link.received_errors,
            "txBytes": link.sent_bytes,
            "txErrors": link.sent_errors,
        }
        for link in traffic
    ]
    main = next((link for link in links if link["name"] == "eth0"), links[0])
    return {"network": {"time": rfc3339(now), **main, "interfaces": links}}


def _disk(disk: Disk, now: float) -> Document:
    return {
        "time": rfc3339(now),
        "availableBytes": disk.available_bytes,
        "capacityBytes": disk.capacity_bytes,
        "usedBytes": disk.used_bytes,
        "inodesFree": disk.inodes_free,
        "inodes": disk.inodes,
        "inodesUsed": disk.inodes - disk.inodes_free,
    }
