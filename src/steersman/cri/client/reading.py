"""What a runtime tells that containers use, as the node measures: pure."""

from __future__ import annotations

from steersman.cri.messages.stats import ContainerStats, CpuUsage, MemoryUsage
from steersman.cri.messages.values import UInt64Value
from steersman.node.measure.measuring import Told
from steersman.node.measure.reading import Reading

NANO = 1e9


def read_stats(stats: ContainerStats) -> Told:
    """Returns a reading; what is not told is 0, as the count of processes never is."""
    cpu, memory = stats.cpu or CpuUsage(), stats.memory or MemoryUsage()
    working = _value(memory.working_set_bytes)
    free = memory.available_bytes
    reading = Reading(
        time=(cpu.timestamp or memory.timestamp) / NANO,
        cpu_nanos=_value(cpu.usage_core_nano_seconds),
        usage_bytes=_value(memory.usage_bytes) or working,
        working_set_bytes=working,
        rss_bytes=_value(memory.rss_bytes),
        limit_bytes=0 if free is None or not free.value else working + free.value,
        processes=0,
    )
    layer = stats.writable_layer
    return Told(reading, 0 if layer is None else _value(layer.used_bytes))


def _value(told: UInt64Value | None) -> int:
    return 0 if told is None else told.value
