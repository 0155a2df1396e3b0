"""All controllers of a cluster together."""

from __future__ import annotations

from controlled import EVERYBODY
from steersman.reconcile.events import source_of
from steersman.reconcile.figures import queue_name


def test_every_controller_has_a_queue_that_metrics_can_tell_from_others() -> None:
    names = [queue_name(one.name) for one in EVERYBODY]
    assert len(names) == len(set(names))
    assert {"deployment", "endpoint_slice", "replicationmanager", "noexec_taint_pod"} <= {*names}


SIGNED = {
    "daemon-set-controller": "daemonset-controller",
    "disruption-controller": "controllermanager",
    "endpointslice-controller": "endpoint-slice-controller",
    "endpointslicemirroring-controller": "endpoint-slice-mirroring-controller",
    "ephemeral-volume-controller": "ephemeral_volume",
    "expand-controller": "volume_expand",
    "generic-garbage-collector": "garbage-collector-controller",
    "node-ipam-controller": "cidrAllocator",
    "persistent-volume-binder": "persistentvolume-controller",
    "resource-claim-controller": "resource_claim",
}


def test_controllers_sign_events_with_the_names_that_upstreams_sign_with() -> None:
    names = {"node-ipam-controller", *(one.name for one in EVERYBODY)}
    assert {name: source_of(name) for name in names} == {name: name for name in names} | SIGNED
