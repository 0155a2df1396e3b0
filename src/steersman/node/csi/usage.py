"""How full a volume is, as its CSI driver says (NodeGetVolumeStats; kubelet's metricsCsi)."""

from __future__ import annotations

from pathlib import Path

from steersman.node.csi.drivers import Drivers, NotRegistered
from steersman.node.csi.layout import Layout
from steersman.node.measure.files import Filled
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import csi

_BYTES, _INODES = 1, 2  # VolumeUsage.Unit


async def ask_usage(
    drivers: Drivers, layout: Layout, uid: str, place: Path, now: float
) -> Filled | None:
    """Asks the driver that published a volume for a pod at a place; returns None where it is none
    of a driver's, and where its driver cannot be asked or does not say."""
    for name, record in layout.of_pod(uid).items():
        if record is None or layout.target(uid, name, block=record.block) != place:
            continue
        message = csi.NodeGetVolumeStats(record.volume_handle, str(place))
        try:
            async with drivers.node(record.driver_name) as node:
                if csi.GET_VOLUME_STATS not in await node.abilities():
                    return None
                return parse_usage(await node.call(csi.NODE_GET_VOLUME_STATS, message), now)
        except (NotRegistered, Failed):
            return None
    return None


def parse_usage(stats: csi.VolumeStats, now: float) -> Filled | None:
    """Returns what a driver said; None without bytes."""
    units = {it.unit: it for it in stats.usage}
    if (sizes := units.get(_BYTES)) is None:
        return None
    files = units.get(_INODES)
    inodes = (files.available, files.total, files.used) if files else (None, None, None)
    return Filled(now, sizes.available, sizes.total, sizes.used, *inodes)
