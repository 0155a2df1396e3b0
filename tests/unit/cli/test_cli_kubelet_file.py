"""The kubelet's file of options: what it says counts, what nobody reads is told by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steersman.cli.failure import Failure
from steersman.cli.main import build_parser
from steersman.cli.options import kubelet
from steersman.cli.options.kubelet_file import KIND, VERSION, read
from steersman.runtime.logs import MAX_FILE_BYTES, MAX_FILES

FILE = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: /srv/pods
staticPodURL: https://example.com/pods
staticPodURLHeader:
  X-One: [a, b]
evictionHard:
  memory.available: 200Mi
  nodefs.available: 5%
evictionSoft: {memory.available: 1Gi}
evictionSoftGracePeriod: {memory.available: 1m30s}
evictionMinimumReclaim: {nodefs.available: 2Gi}
evictionMaxPodGracePeriod: 7
shutdownGracePeriodByPodPriority:
- {priority: 0, shutdownGracePeriodSeconds: 20}
- {priority: 1000, shutdownGracePeriodSeconds: 10}
allowedUnsafeSysctls: [kernel.msgmni, net.core.*]
imageGCHighThresholdPercent: 90
imageGCLowThresholdPercent: 70
imageMinimumGCAge: 1h
imageMaximumGCAge: 48h
clusterDomain: cluster.local
failSwapOn: true
cpuManagerReconcilePeriod: 0s
cpuManagerPolicy: static
cpuManagerPolicyOptions: {full-pcpus-only: "true"}
memoryManagerPolicy: Static
topologyManagerPolicy: restricted
topologyManagerScope: pod
topologyManagerPolicyOptions: {prefer-closest-numa-nodes: "true"}
reservedSystemCPUs: 0-1
reservedMemory:
- {numaNode: 0, limits: {memory: 1Gi}}
- {numaNode: 1, limits: {memory: 2Gi}}
kubeReserved: {memory: 1Gi}
systemReserved: {memory: 2Gi}
memorySwap: {swapBehavior: LimitedSwap}
maxPods: 250
podPidsLimit: -1
"""
WORDS = {
    "--pod-manifest-path=/srv/pods",
    "--manifest-url=https://example.com/pods",
    "--manifest-url-header=X-One:a,X-One:b",
    "--eviction-hard=memory.available<200Mi,nodefs.available<5%",
    "--eviction-soft=memory.available<1Gi",
    "--eviction-soft-grace-period=memory.available=1m30s",
    "--eviction-minimum-reclaim=nodefs.available=2Gi",
    "--eviction-max-pod-grace-period=7",
    "--shutdown-grace-period-by-pod-priority=0=20s,1000=10s",
    "--allowed-unsafe-sysctls=kernel.msgmni,net.core.*",
    "--image-gc-high-threshold=90",
    "--image-gc-low-threshold=70",
    "--minimum-image-ttl-seconds=3600",
    "--image-maximum-gc-age-seconds=172800",
    "--cpu-manager-policy=static",
    "--cpu-manager-policy-options=full-pcpus-only=true",
    "--memory-manager-policy=Static",
    "--topology-manager-policy=restricted",
    "--topology-manager-scope=pod",
    "--topology-manager-policy-options=prefer-closest-numa-nodes=true",
    "--reserved-cpus=0-1",
    "--reserved-memory=0:memory=1Gi;1:memory=2Gi",
    "--kube-reserved=memory=1Gi",
    "--system-reserved=memory=2Gi",
    "--memory-swap-behavior=LimitedSwap",
    "--fail-swap-on=true",
    "--max-pods=250",
}


def checked(path: Path, *more: str, command: str = "node") -> Any:
    arguments = build_parser(command).parse_args([f"--kubelet-config={path}", *more])
    kubelet.check(arguments)
    return arguments


def told(**fields: Any) -> str:
    with pytest.raises(ValueError) as raised:
        read({"apiVersion": VERSION, "kind": KIND, **fields})
    return str(raised.value)


@pytest.mark.parametrize("command", ["node", "up"])
def test_a_file_says_what_options_say(tmp_path: Path, command: str) -> None:
    path = tmp_path / "kubelet.yaml"
    path.write_text(FILE)
    arguments = checked(path, command=command)
    assert set(kubelet.words(arguments)) == WORDS
    assert kubelet.read_headers(arguments) == {"X-One": "a, b"}


def test_an_option_that_is_given_goes_before_the_file_even_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.yaml"
    path.write_text(FILE)
    arguments = checked(path, "--image-gc-high-threshold", "85", "--eviction-hard", "")
    assert (arguments.image_gc_high_threshold, arguments.image_gc_low_threshold) == (85, 70)
    assert arguments.eviction_hard == ""


def test_what_the_file_says_is_checked_as_options_are(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.yaml"
    path.write_text(f"apiVersion: {VERSION}\nkind: {KIND}\nevictionHard: {{memory: '1'}}\n")
    with pytest.raises(Failure, match="invalid eviction threshold syntax memory<1"):
        checked(path)


def test_every_field_that_cannot_be_is_named() -> None:
    assert told(evictionhard={"a": "b"}, serverTLSBootstrap=True, nodeLeaseDurationSeconds=9) == (
        "evictionhard: this node does not read it (is it evictionHard?); "
        "serverTLSBootstrap: this node does not read it; "
        "nodeLeaseDurationSeconds: this node knows 40 alone"
    )
    assert told(cgroupDriver="systemd") == 'cgroupDriver: this node knows "cgroupfs" alone'
    assert told(enableServer=False) == "enableServer: this node knows true alone"


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("staticPodPath", 7, "it must be a text"),
        ("evictionHard", "x", "it must be a map of texts"),
        ("evictionHard", {"memory.available": 5}, "it must be a text"),
        ("allowedUnsafeSysctls", "x", "it must be a list of texts"),
        ("evictionMaxPodGracePeriod", "5", "it must be a whole number"),
        ("imageGCHighThresholdPercent", True, "it must be a whole number"),
        ("imageMinimumGCAge", "soon", "'soon' is no duration"),
        ("shutdownGracePeriodByPodPriority", [{"priority": 1}], "it must be a list of priority"),
        ("staticPodURLHeader", ["x"], "it must be a map of lists"),
        ("reservedMemory", [{"numaNode": 0}], "it must be a list of numaNode and limits"),
        ("memorySwap", {"behaviour": "NoSwap"}, "it must be a map with swapBehavior alone"),
        ("failSwapOn", "no", "it must be true or false"),
    ],
)
def test_a_value_of_another_form_is_told(field: str, value: Any, why: str) -> None:
    assert told(**{field: value}).startswith(f"{field}: {why}")


def test_a_file_must_be_one_of_the_kubelets(tmp_path: Path) -> None:
    for text, why in (
        ("kind: KubeletConfiguration\n", f"it must be a {KIND} of {VERSION}"),
        ("[]", f"it must be a {KIND} of {VERSION}"),
        ("a: [", "yaml: "),
    ):
        path = tmp_path / "kubelet.yaml"
        path.write_text(text)
        with pytest.raises(Failure) as raised:
            checked(path)
        assert str(raised.value).startswith(f"--config {path}: {why}")
    with pytest.raises(Failure, match="No such file"):
        checked(tmp_path / "none")


def test_what_is_said_to_be_fixed_is_what_the_node_does() -> None:
    size = f"{MAX_FILE_BYTES >> 20}Mi"
    document = {"containerLogMaxFiles": MAX_FILES, "containerLogMaxSize": size}
    assert read({"apiVersion": VERSION, "kind": KIND, **document}) == {}
