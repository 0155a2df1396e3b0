"""The options of the node agent, by the kubelet's names: read before anything starts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from steersman.cli.failure import Failure
from steersman.cli.options import placing

if TYPE_CHECKING:
    from steersman.node.credentials.providers import Provider
    from steersman.node.shutdown.groups import Period

_CONFIG: Final = "--image-credential-provider-config"
_PROGRAMS: Final = "--image-credential-provider-bin-dir"
# Of files and folders: name, form, what it is
_PATHS: Final = (
    (
        "--pod-manifest-path",
        "FOLDER",
        "folder of static pods, which run without the API (default: DATA/manifests)",
    ),
    (_CONFIG, "FILE", "which programs know logins for which images (CredentialProviderConfig)"),
    (_PROGRAMS, "FOLDER", "where those programs are"),
)
_ENDPOINT: Final = "--container-runtime-endpoint"
_RUNTIME: Final = "--runtime"
# Options that are given on as they are: name, form, default, what it is. Shares of the disk are
# those of k3s: upstream's (10 and 15 %) are for a disk of the node's own, and many a person's is
# fuller
_TEXTS: Final = (
    (
        "--eviction-hard",
        "SIGNAL...",
        "memory.available<100Mi,nodefs.available<5%,nodefs.inodesFree<5%,"
        "imagefs.available<5%,imagefs.inodesFree<5%",
        "below which pods are evicted at once, '' for never",
    ),
    ("--eviction-soft", "SIGNAL...", "", "below which pods are evicted after a grace period"),
    (
        "--eviction-soft-grace-period",
        "SIGNAL...",
        "",
        "that grace of each, as memory.available=1m30s",
    ),
    (
        "--eviction-minimum-reclaim",
        "SIGNAL...",
        "",
        "what is freed beyond a threshold at least, as imagefs.available=2Gi or 10%",
    ),
    ("--manifest-url", "URL", "", "where further static pods come from, asked for every 20 s"),
    (
        "--manifest-url-header",
        "NAME:VALUE,...",
        "",
        "headers that are sent there",
    ),
    ("--shutdown-grace-period", "TIME", "", "what pods have when the machine goes, as 30s"),
    ("--shutdown-grace-period-critical-pods", "TIME", "", "what of it is for critical ones alone"),
    (
        "--shutdown-grace-period-by-pod-priority",
        "PRIORITY=TIME,...",
        "",
        "in place of both: what pods have from a priority on",
    ),
    (
        _ENDPOINT,
        "SOCKET",
        "",
        "a container runtime (containerd, CRI-O) in place of our engine, as "
        "unix:///run/containerd/containerd.sock",
    ),
    (
        _RUNTIME,
        "NAME,...",
        "",
        "OCI runtimes (runc, crun, a path) in place of our own, which is steersman: the first for "
        "pods without a RuntimeClass, each for those whose class has it as its handler",
    ),
    (
        "--allowed-unsafe-sysctls",
        "NAME,...",
        "",
        "sysctls that pods may have beside the safe ones; a * at the end stands for the rest",
    ),
    *placing.TEXTS,
)
_PERIODS: Final = ("", "-critical-pods", "-by-pod-priority")
_NUMBERS: Final = (
    (
        "--eviction-max-pod-grace-period",
        0,
        "the longest time to end for a soft one, in s",
    ),
    ("--image-gc-high-threshold", 85, "percent of the disk above which unused images go"),
    ("--image-gc-low-threshold", 80, "percent of the disk down to which they go"),
    ("--minimum-image-ttl-seconds", 120, "the age before which no image goes"),
    ("--image-maximum-gc-age-seconds", 0, "how long an image may be unused, 0 for ever"),
)


class _Given(argparse.Action):
    """Keeps a value, and that it was given: what a file says does not count then."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Takes a value."""
        setattr(namespace, self.dest, values)
        namespace.given = getattr(namespace, "given", frozenset()) | {self.dest}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = "options of the node as the kubelet's file has them (KubeletConfiguration); those here "
    parser.add_argument(
        *("--kubelet-config", "--config"), type=Path, metavar="FILE", help=f"{text}go before"
    )
    for name, form, text in _PATHS:
        parser.add_argument(name, action=_Given, type=Path, metavar=form, help=text)
    for name, form, default, what in _TEXTS:
        shown = f"{what} (default: {default})" if default else what
        text = shown.replace("%", "%%")
        parser.add_argument(name, action=_Given, default=default, metavar=form, help=text)
    for option, number, what in _NUMBERS:
        text = f"{what} (default: {number})"
        parser.add_argument(option, action=_Given, type=int, default=number, metavar="N", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the process of the node."""
    paths = ((name, _value(arguments, name)) for name, _, _ in _PATHS)
    found = [f"{name}={path.resolve()}" for name, path in paths if path is not None]
    texts = ((name, default) for name, _, default, _ in _TEXTS)
    for name, default in (*texts, *((name, number) for name, number, _ in _NUMBERS)):
        value = _value(arguments, name)
        if value != default:
            found.append(f"{name}={value}")
    return found


def read_periods(arguments: argparse.Namespace) -> tuple[Period, ...]:
    """Returns what pods have when the machine goes; raises Failure with one line."""
    found = [_value(arguments, f"--shutdown-grace-period{it}") for it in _PERIODS]
    if not any(found):
        return ()
    from steersman.node.shutdown.groups import BadPeriods, parse_periods

    try:
        return parse_periods(*found)
    except BadPeriods as error:
        raise Failure(f"--shutdown-grace-period...: {error}") from None


def read_providers(arguments: argparse.Namespace) -> tuple[Provider, ...]:
    """Returns the credential providers, none without a file; raises Failure with one line."""
    path: Path | None = arguments.image_credential_provider_config
    if path is None:
        return ()
    from steersman.node.credentials.providers import BadProviders, parse_providers

    try:
        return parse_providers(path.read_bytes(), arguments.image_credential_provider_bin_dir)
    except OSError as error:
        raise Failure(f"{_CONFIG} {path}: {error.strerror}") from None
    except BadProviders as error:
        raise Failure(f"{_CONFIG} {path}: {error}") from None


def read_endpoint(arguments: argparse.Namespace) -> Path | None:
    """Returns the socket of a container runtime, None for our own engine; raises Failure."""
    text: str = arguments.container_runtime_endpoint
    path = text.removeprefix("unix://")
    if text and not path.startswith("/"):
        raise Failure(f"{_ENDPOINT} takes a socket, as unix:///run/containerd/containerd.sock")
    return Path(path) if text else None


def read_runtimes(arguments: argparse.Namespace) -> dict[str, str]:
    """Returns the programs that make containers, by handler; raises Failure with one line."""
    text: str = arguments.runtime
    if not text:
        return {}
    from steersman.node.engine.runtimes import BadRuntime, parse_runtimes

    if arguments.container_runtime_endpoint:
        raise Failure(f"{_RUNTIME} is for our own engine: it goes without {_ENDPOINT}")
    try:
        return parse_runtimes(text)
    except BadRuntime as error:
        raise Failure(f"{_RUNTIME}: {error}") from None


def read_headers(arguments: argparse.Namespace) -> dict[str, str]:
    """Returns what is sent to the URL of static pods; raises Failure with one line."""
    url: str = arguments.manifest_url
    if url and not url.startswith(("http://", "https://")):
        raise Failure(f"--manifest-url {url}: it must begin with http:// or https://")
    found: dict[str, str] = {}
    for text in names(arguments.manifest_url_header):
        name, colon, value = (it.strip() for it in text.partition(":"))
        if not colon or not name or not (name + value).isprintable():
            raise Failure(f"--manifest-url-header: {text!r} is no NAME:VALUE")
        found[name] = f"{found[name]}, {value}" if name in found else value  # RFC 9110, 5.3
    return found


def _check_sysctls(asked: list[str]) -> None:
    from steersman.node.admission.kernel import BadSysctl, parse_allowed

    try:
        parse_allowed(asked)
    except BadSysctl as error:
        raise Failure(f"--allowed-unsafe-sysctls: {error}") from None


def names(text: str) -> list[str]:
    """Returns what a list with commas names."""
    return [it for it in text.split(",") if it]


def _value(arguments: argparse.Namespace, option: str) -> Any:
    return getattr(arguments, option[2:].replace("-", "_"))


def check(arguments: argparse.Namespace) -> None:
    """Takes what the file says, and refuses what cannot be; raises Failure with one line."""
    from steersman.node.pressure.thresholds import BadThreshold, parse_thresholds

    if arguments.kubelet_config is not None:
        from steersman.cli.options import kubelet_file

        given: frozenset[str] = getattr(arguments, "given", frozenset())
        kubelet_file.take(arguments, arguments.kubelet_config, given)

    try:
        parse_thresholds(
            arguments.eviction_hard,
            arguments.eviction_soft,
            arguments.eviction_soft_grace_period,
            arguments.eviction_minimum_reclaim,
        )
    except BadThreshold as error:
        raise Failure(str(error)) from None
    read_periods(arguments)
    read_endpoint(arguments)
    read_runtimes(arguments)
    placing.read_settings(arguments)
    read_headers(arguments)
    if arguments.allowed_unsafe_sysctls:
        _check_sysctls(names(arguments.allowed_unsafe_sysctls))
    if (arguments.image_credential_provider_config is None) is not (
        arguments.image_credential_provider_bin_dir is None
    ):
        raise Failure(f"{_CONFIG} and {_PROGRAMS} need each other")
    read_providers(arguments)
    low, high = arguments.image_gc_low_threshold, arguments.image_gc_high_threshold
    if not 0 <= low < high <= 100:
        text = "--image-gc-low-threshold must be below --image-gc-high-threshold"
        raise Failure(f"{text}, both from 0 to 100")
