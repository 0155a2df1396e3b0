"""`steer node`: the node agent of one cluster, in the foreground. Pods outlive it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from steersman.cli.clock.option import NO_NODE, VIRTUAL
from steersman.cli.directory import Directory, default_path
from steersman.cli.failure import Failure
from steersman.cli.options import kubelet, placing
from steersman.cli.server import await_identity, reporter

EXAMPLE = """example:
  steer node --data-dir /var/lib/steersman"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer node`."""
    del name
    parser.epilog = EXAMPLE
    parser.add_argument("--data-dir", type=Path, default=default_path(), help="where it lives")
    kubelet.add_options(parser)
    parser.add_argument("--status-fd", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the agent until it is told to stop."""
    if os.geteuid() != 0:
        raise Failure("a node makes namespaces and mounts, which needs root: run it with sudo")
    kubelet.check(arguments)
    import uvloop

    from steersman.cli.certify import node_name
    from steersman.cluster import node
    from steersman.cluster.process import loaded
    from steersman.network.nft import RulesRefused, Unavailable
    from steersman.node.admission.kernel import parse_allowed
    from steersman.node.pressure.images import Bounds
    from steersman.node.pressure.monitor import Options
    from steersman.node.pressure.thresholds import parse_thresholds
    from steersman.node.topology.settings import BadSetting
    from steersman.node.topology.state_files import BadState
    from steersman.runtime.engine import EngineError
    from steersman.world.real import RealWorld

    loaded()
    directory = Directory(arguments.data_dir)
    identity = await_identity(arguments, directory)
    if identity.clock == VIRTUAL:
        raise Failure(NO_NODE)
    settings = node.NodeSettings(
        name=node_name(),
        cluster=identity.id,
        directory=directory.node,
        images=directory.images,
        run=directory.run(identity),
        certificates=directory.certificates,
        port=identity.port,
        service_cidr=identity.service_cidr,
        pod_cidr=identity.pod_cidr,
        manifests=(arguments.pod_manifest_path or directory.manifests).absolute(),
        manifest_url=arguments.manifest_url,
        manifest_headers=kubelet.read_headers(arguments),
        eviction=Options(
            parse_thresholds(
                arguments.eviction_hard,
                arguments.eviction_soft,
                arguments.eviction_soft_grace_period,
                arguments.eviction_minimum_reclaim,
            ),
            arguments.eviction_max_pod_grace_period,
        ),
        periods=kubelet.read_periods(arguments),
        providers=kubelet.read_providers(arguments),
        programs=arguments.image_credential_provider_bin_dir,
        placing=placing.read_settings(arguments),
        sysctls=parse_allowed(kubelet.names(arguments.allowed_unsafe_sysctls)),
        endpoint=kubelet.read_endpoint(arguments),
        runtimes=kubelet.read_runtimes(arguments),
        image_bounds=Bounds(
            arguments.image_gc_high_threshold,
            arguments.image_gc_low_threshold,
            arguments.minimum_image_ttl_seconds,
            arguments.image_maximum_gc_age_seconds,
        ),
    )
    try:
        uvloop.run(node.run_node(settings, RealWorld(), reporter(arguments.status_fd)))
    except (BadSetting, BadState, EngineError, OSError, RulesRefused, Unavailable) as error:
        raise Failure(f"the node cannot start: {error}") from error
    return 0
