"""Puts the node agent together: its client, runtime, images, network and the agent itself.

Nothing here decides anything. What goes wrong at the start is raised; what goes wrong later is
the agent's to survive.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import ssl
from collections.abc import Callable, Collection, Mapping
from importlib import metadata
from ipaddress import IPv4Network
from pathlib import Path

import msgspec
from msgspec.structs import replace

from steersman.client.client import APIClient
from steersman.client.http import HTTPTransport, Target
from steersman.client.view import FollowedView, FollowedViews
from steersman.cluster import network
from steersman.cluster.engines import Chosen, choose_own, choose_runtime
from steersman.cluster.placing import make_parts, make_swap, read_topology, reservation
from steersman.cluster.plugins import Plugins
from steersman.cluster.process import (
    Report,
    first_address,
    reload_on_hangup,
    settle,
    stop_signal,
)
from steersman.cluster.telling import of_process
from steersman.images.http import StreamHttp
from steersman.listen.certificates import PROXY, Certificates
from steersman.listen.serve import tls_context
from steersman.model.figures import Sources
from steersman.model.kinds.node import NODE
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.service import SERVICE
from steersman.model.local_path import NODE_FIELD
from steersman.model.quantity import Quantity
from steersman.model.service_range import dns_address
from steersman.network import firewall
from steersman.network.bridge import Bridge
from steersman.network.nft import Rules
from steersman.network.pods import PodNetwork
from steersman.network.proxy import Place as Here
from steersman.node import machine
from steersman.node.acting import apparmor
from steersman.node.admission.kernel import Allowed, decide_admission
from steersman.node.agent import Agent
from steersman.node.credentials.certificates import PodCertificates
from steersman.node.credentials.providers import Provider, Providers
from steersman.node.credentials.records import PullRecords
from steersman.node.engine.runtimes import know_runtimes
from steersman.node.id_ranges import IdRanges, read_subordinate
from steersman.node.measure.answer import Telling
from steersman.node.measure.configuration import render_configuration, render_pressure
from steersman.node.measure.files import Files
from steersman.node.measure.images import NodeImages
from steersman.node.measure.measuring import PROC, Measuring
from steersman.node.objects import FollowedObjects
from steersman.node.paths import Paths
from steersman.node.plan import is_finished
from steersman.node.pressure import enforcing
from steersman.node.pressure.images import Bounds, ImageCollector
from steersman.node.pressure.monitor import Monitor, Options
from steersman.node.pressure.reading import SignalSource
from steersman.node.pressure.thresholds import IMAGE_DISK
from steersman.node.reclaim import Reclaimer
from steersman.node.register import Place, Registration, allocatable
from steersman.node.render.downward import Machine
from steersman.node.render.resolution import Resolution
from steersman.node.serve import Others, Port
from steersman.node.serve import serve as serve_streams
from steersman.node.service_classes import ServiceClasses
from steersman.node.shutdown import asked
from steersman.node.shutdown.ending import Shutdown
from steersman.node.shutdown.groups import Period
from steersman.node.shutdown.logind import Logind
from steersman.node.static.folder import Folder
from steersman.node.static.mirrors import Mirrors
from steersman.node.static.source import Several, Source
from steersman.node.static.url import Url
from steersman.node.streams.observed_pods import ObservedPods
from steersman.node.tools import Tools
from steersman.node.topology.settings import Settings as PlacingSettings
from steersman.node.topology.settings import render_settings
from steersman.node.visitors import Visitors
from steersman.node.volumes.claims import Claims
from steersman.node.volumes.mounting import Volumes
from steersman.node.volumes.tokens import Tokens
from steersman.reconcile.events import Recorder
from steersman.runtime.kernel import cgroups
from steersman.runtime.kernel.labels import has_apparmor
from steersman.world.interface import Tasks, World

KUBELET_PORT = 10250
# Each pod has a socket to its shim, each exec probe three descriptors
DESCRIPTORS = 65536
log = logging.getLogger(__name__)


class NodeSettings(msgspec.Struct, frozen=True):
    """What `steer node` was told.

    directory:  of the node; images has the image store; run the sockets, on a short path
    manifests:  the folder of static pods
    manifest_url, manifest_headers: where others come from, and what is sent there
    eviction, image_bounds: when pods and images go for the node's sake
    sysctls:    those that pods may have
    placing:    who gets which part of the machine
    periods:    how long pods have when the machine goes
    providers, programs: who knows logins for images, and the folder where they are
    endpoint:   the socket of a container runtime in place of our own engine
    runtimes:   programs in place of our own OCI runtime, by handler
    """

    name: str
    cluster: str
    directory: Path
    images: Path
    run: Path
    certificates: Path
    port: int
    service_cidr: str
    pod_cidr: str
    manifests: Path
    manifest_url: str = ""
    manifest_headers: Mapping[str, str] = {}
    eviction: Options = Options()
    sysctls: Allowed = Allowed()
    periods: tuple[Period, ...] = ()
    providers: tuple[Provider, ...] = ()
    programs: Path | None = None
    image_bounds: Bounds = Bounds()
    endpoint: Path | None = None
    runtimes: Mapping[str, str] = {}
    placing: PlacingSettings = PlacingSettings()


def cgroup_of(cluster: str) -> str:
    """Returns the control group of all pods of a cluster on this machine."""
    return f"/steersman-{cluster}"


def warm_socket(run: Path) -> Path:
    """Returns where the warm parent listens."""
    return run / "warm.sock"


async def run_node(settings: NodeSettings, world: World, report: Report) -> None:
    """Runs the agent until SIGTERM or SIGINT; pods go on without it.

    Raises OSError, Unavailable where nftables is not installed, EngineError where a container
    runtime of others cannot be used.
    """
    stop = stop_signal()
    _raise_descriptors()
    rules = Rules()
    ranges = (IPv4Network(settings.pod_cidr), IPv4Network(settings.service_cidr))
    bridge = Bridge(settings.cluster, *ranges)
    connected = PodNetwork(settings.cluster, bridge, rules, network.forget_flows)
    chosen = await _choose(settings, connected, world)
    bridge.set_up(settings.run.parent)
    if note := firewall.open_for(rules, bridge.name):
        report({"note": note})
    files, own = Certificates(settings.certificates), f"node-{settings.name}"
    as_node, as_proxy = client_tls(files, own), client_tls(files, PROXY.file)
    listening = tls_context(files.certificate(own), files.key(own), files.ca)
    reload_on_hangup(files, (own, as_node), (PROXY.file, as_proxy), (own, listening))
    async with world.tasks() as tasks:
        client = APIClient(api_transport(settings, as_node, f"system:node:{settings.name}"), world)
        tokens = Tokens(client, world)
        directory = settings.directory.absolute()
        plugins = Plugins(client, tokens, directory, settings.name, world, tasks)
        plugins.share()
        tools = await _load_apparmor(
            _tools(settings, client, chosen, plugins, tokens, world, tasks)
        )
        plugins.say = tools.say
        place = tools.place
        pods = FollowedView(client, POD, world, fields=f"spec.nodeName={settings.name}")
        statics = _statics(settings, tools, tasks)
        agent = Agent(tools, pods, tasks, statics)
        measuring = _measuring(settings, chosen, agent, world)
        monitor = _monitor(settings, chosen, tools, agent, measuring, tasks)
        shutdown = _shutdown(settings, tools, agent, tasks)
        registration = _registration(settings, chosen, tools, monitor, shutdown, plugins, tasks)
        _give_devices(plugins, tools, agent, registration)
        _admit(settings, agent, monitor, shutdown)
        observed = ObservedPods(tools.engine, tools.paths, agent.workers.values)
        port = Port(place.address, place.port, listening)
        others = Others(
            Visitors(client, settings.name, world),
            _telling(settings, tools, agent, measuring, plugins),
        )
        tasks.start(serve_streams(port, observed, world, others=others), name="port")
        tasks.start(pods.follow(), name="pods of the node")
        tasks.start(tools.events.run(after=pods.synced), name="events of the node")
        tasks.start(registration.run(), name="registration")
        tasks.start(plugins.run(registration.registered), name="plugins")
        _reclaim(tools, client, tasks)
        tasks.start(_mirrors(tools, registration, agent, statics, pods).run(), name="mirrors")
        tasks.start(agent.run(), name="agent")
        _hold(settings, tools, agent, tasks)
        proxy_client = APIClient(api_transport(settings, as_proxy, PROXY.user), world)
        close = await _serve_network(settings, proxy_client, bridge, rules, world, tasks)
        await registration.registered.wait()
        settle()
        report({"state": "ready"})
        await stop.wait()
        close()
        tasks.stop()
    await tools.engine.close()
    await client.close()
    await proxy_client.close()


async def _serve_network(
    settings: NodeSettings,
    client: APIClient,
    bridge: Bridge,
    rules: Rules,
    world: World,
    tasks: Tasks,
) -> Callable[[], None]:
    """Keeps the rules and answers for names, as the proxy; returns what ends that."""
    views = FollowedViews(client, world, tasks)
    node = FollowedView(client, NODE, world, fields=f"metadata.name={settings.name}")
    tasks.start(node.follow(), name="the node for its proxy")
    addresses = bridge.addresses
    names = (settings.cluster, settings.name, bridge.name)
    here = Here(*names, addresses.gateway, addresses.network)
    services = IPv4Network(settings.service_cidr)
    return await network.serve_network(here, services, views, node, rules, world, tasks)


def _reserved(settings: NodeSettings, facts: machine.Facts) -> dict[str, Quantity]:
    return reservation(settings.placing, settings.eviction.thresholds, facts)


def _hold(settings: NodeSettings, tools: Tools, agent: Agent, tasks: Tasks) -> None:
    """Has control groups hold containers to their processors, pods to what is allocatable and
    whoever is named to what is reserved; raises BadSetting."""
    pinning = tools.pinning.run(tools.engine, agent.workers.values, tools.world)
    tasks.start(pinning, name="processors of containers")
    placing, path = settings.placing, cgroup_of(settings.cluster)
    amounts = enforcing.decide_amounts(placing, tools.facts)
    limits = enforcing.render_limits(amounts, tools.page_sizes)
    following = enforcing.enforce_pods(path, limits, tools.say_node, tools.world)
    tasks.start(following, name="limits of all pods")
    enforcing.enforce_reserved(placing, tools.say_node)


def _give_devices(plugins: Plugins, tools: Tools, agent: Agent, registration: Registration) -> None:
    """Has devices given out, after what waits for nobody; the Node told which there are, pods how
    theirs are, and who asks what pods have."""
    tools.placement.add(plugins.devices)

    def tell(pods: Collection[str]) -> None:
        for worker in [it for uid, it in agent.workers.items() if uid in pods]:
            worker.devices_changed()

    def offer(pods: Collection[str]) -> None:
        registration.changed()
        tell(pods)

    plugins.devices.changed, plugins.claims.changed = offer, tell
    plugins.tell(lambda: _active(agent), tools.pinning)


def _active(agent: Agent) -> list[Pod]:
    """Returns the pods that have not ended."""
    workers = agent.workers.values()
    return [it.pod for it in workers if not it.seen.ended and not is_finished(it.pod, it.seen)]


async def _load_apparmor(tools: Tools) -> Tools:
    """Loads the default AppArmor profile; pods that ask for it are told where there is none."""
    if (parser := apparmor.find_parser()) is None:
        return tools
    try:
        return replace(tools, apparmor=await apparmor.load(parser, tools.world))
    except apparmor.NoProfile as error:
        log.error("the default AppArmor profile is not loaded: %s", error)
        return tools


def _statics(settings: NodeSettings, tools: Tools, tasks: Tasks) -> Source:
    """Returns the static pods, which are followed; what is wrong with a manifest stands in the log
    and in an event."""

    def tell(text: str) -> None:
        log.error("static pods: %s", text)
        tools.say_node("Warning", "InvalidManifest", text)

    name, world = settings.name, tools.world
    folder = Folder(settings.manifests, name, world, tell)
    tasks.start(folder.run(), name="static pods")
    if not settings.manifest_url:
        return folder
    headers = settings.manifest_headers
    url = Url(settings.manifest_url, headers, name, StreamHttp(), world, tell)
    tasks.start(url.run(), name="static pods of a URL")
    return Several([folder, url])


def _mirrors(
    tools: Tools, registration: Registration, agent: Agent, statics: Source, pods: FollowedView
) -> Mirrors:
    mirrors = Mirrors(
        tools.client,
        tools.world,
        tools.place.name,
        registration,
        statics,
        pods,
        agent,
    )
    agent.on_over(mirrors.wake)
    return mirrors


def _measuring(settings: NodeSettings, chosen: Chosen, agent: Agent, world: World) -> Measuring:
    """Returns what looks at the node and its pods."""
    return Measuring(
        lambda: [worker.seen for worker in agent.workers.values()],
        cgroups.opener(cgroups.find_hierarchies()),
        cgroup_of(settings.cluster),
        settings.directory,
        chosen.disk,
        world,
        ask=chosen.ask,
    )


def _monitor(
    settings: NodeSettings,
    chosen: Chosen,
    tools: Tools,
    agent: Agent,
    measuring: Measuring,
    tasks: Tasks,
) -> Monitor:
    """Starts what has pods and images go when the node is under pressure."""
    source = SignalSource(measuring, tools.paths, PROC)
    collector = ImageCollector(
        chosen.kept,
        tools.pulls,
        lambda: source.signals()[IMAGE_DISK],
        agent.workers.values,
        settings.image_bounds,
        tools.say_node,
        tools.world,
    )
    monitor = Monitor(
        source,
        settings.eviction,
        agent.workers.values,
        collector.free,
        tools.say_node,
        settings.name,
        tools.world,
    )
    monitor.evicted = tools.counts.evicted
    tasks.start(monitor.run(), name="pressure")
    tasks.start(collector.run(), name="unused images")
    return monitor


def _registration(
    settings: NodeSettings,
    chosen: Chosen,
    tools: Tools,
    monitor: Monitor,
    shutdown: Shutdown,
    plugins: Plugins,
    tasks: Tasks,
) -> Registration:
    """Returns what keeps the Node true, and hears of what changes it."""
    registration = Registration(
        tools.client,
        tools.world,
        tools.place,
        tools.facts,
        lambda: monitor.conditions | shutdown.conditions,
        features=tools.engine.features,
        trouble=chosen.trouble,
        reserved=_reserved(settings, tools.facts),
        devices=plugins.devices.capacity,
        images=NodeImages(chosen.kept.images, tools.world).look,
        say=tools.say_node,
    )
    chosen.watch(registration.changed, tasks)
    monitor.changed = shutdown.changed = registration.changed
    return registration


def _admit(settings: NodeSettings, agent: Agent, monitor: Monitor, shutdown: Shutdown) -> None:
    """Has the node refuse the pods that it cannot take now, or never can."""
    confines = has_apparmor()

    def refusal(pod: Pod) -> tuple[str, str] | None:
        return (
            shutdown.refusal(pod)
            or monitor.refusal(pod)
            or decide_admission(pod, settings.sysctls, apparmor=confines)
        )

    agent.admit_by(refusal)


def _shutdown(settings: NodeSettings, tools: Tools, agent: Agent, tasks: Tasks) -> Shutdown:
    """Starts what ends pods before the node goes: where a person asks for it, and at a word of
    logind, or SIGPWR, where the pods have been given time."""
    shutdown = Shutdown(settings.periods, agent.workers.values, tools.say_node, tools.world)
    loop = asyncio.get_running_loop()

    def end_pods() -> None:
        work = asked.end_pods(shutdown, settings.run / asked.SOCKET, tools.world)
        tasks.start(work, name="down")

    loop.add_signal_handler(asked.SIGNAL, end_pods)
    if not settings.periods:
        return shutdown

    def begin() -> None:
        tasks.start(shutdown.begin(), name="shutdown of the node")

    loop.add_signal_handler(signal.SIGPWR, begin)
    tasks.start(shutdown.watch(Logind(tools.world)), name="logind")
    return shutdown


def _telling(
    settings: NodeSettings, tools: Tools, agent: Agent, measuring: Measuring, plugins: Plugins
) -> Telling:
    """Returns what the agent tells of itself and its pods."""
    places = tools.volumes.places
    files = Files(agent.workers.values, tools.paths, settings.images, places, plugins, tools.world)
    root = cgroup_of(settings.cluster)
    own = {"fieldSelector": f"spec.nodeName={settings.name}"}
    names = str(dns_address(IPv4Network(settings.service_cidr)))
    configuration = render_configuration(
        first_address(settings.pod_cidr),
        KUBELET_PORT,
        root,
        names,
        network.DOMAIN,
        render_settings(settings.placing),
        render_pressure(settings.eviction, settings.image_bounds),
    )
    own_metrics = Sources()
    own_metrics.add(tools.counts.families)
    started = tools.world.wire_now()
    own_metrics.add(lambda: of_process(started))
    return Telling(
        settings.name,
        root,
        measuring,
        files,
        own_metrics,
        lambda: tools.client.read("/api/v1/pods", own),
        configuration,
    )


def _place(settings: NodeSettings) -> Place:
    volumes = str(Paths(settings.directory.absolute()).local_volumes)
    address = first_address(settings.pod_cidr)
    return Place(settings.name, address, KUBELET_PORT, version(), volumes, settings.pod_cidr)


def _reclaim(tools: Tools, client: APIClient, tasks: Tasks) -> None:
    """Starts what removes released volumes of this node."""
    own = f"{NODE_FIELD}={tools.place.name}"
    volumes = FollowedView(client, PERSISTENTVOLUME, tools.world, fields=own)
    directory = Path(tools.place.volumes)
    reclaimer = Reclaimer(client, volumes, tools.events, directory, tools.world)
    tasks.start(volumes.follow(), name="volumes of the node")
    tasks.start(reclaimer.run(), name="reclaimer")


async def _choose(settings: NodeSettings, connected: PodNetwork, world: World) -> Chosen:
    """Returns what runs the pods."""
    paths, group = Paths(settings.directory.absolute()), cgroup_of(settings.cluster)
    ids = IdRanges(paths, *read_subordinate())
    if settings.endpoint is None:
        return choose_own(
            warm_socket(settings.run),
            paths,
            connected,
            settings.images,
            group,
            network.DOMAIN,
            version(),
            ids,
            world,
            await know_runtimes(settings.runtimes, world),
        )
    return await choose_runtime(
        settings.endpoint, paths, settings.cluster, group, _resolution(settings), ids, world
    )


def _resolution(settings: NodeSettings) -> Resolution:
    address = str(dns_address(IPv4Network(settings.service_cidr)))
    return Resolution(address, network.DOMAIN, network.HostResolution().text())


def _tools(
    settings: NodeSettings,
    client: APIClient,
    chosen: Chosen,
    plugins: Plugins,
    tokens: Tokens,
    world: World,
    tasks: Tasks,
) -> Tools:
    paths = Paths(settings.directory.absolute())
    facts = replace(machine.read(settings.directory), most_pods=settings.placing.most_pods)
    kept = _reserved(settings, facts)
    parts = make_parts(settings.placing, read_topology(facts), paths.root, kept)
    limits = Machine(allocatable(facts, kept))
    services = FollowedView(client, SERVICE, world)
    tasks.start(services.follow(), name="services")
    node = FollowedView(client, NODE, world, fields=f"metadata.name={settings.name}")
    tasks.start(node.follow(), name="the node itself")
    return Tools(
        client=client,
        world=world,
        engine=chosen.engine,
        images=chosen.images,
        pulls=PullRecords(paths.pulls, world.uid),
        paths=paths,
        providers=Providers(settings.providers, settings.programs or Path(), client, tokens, world),
        volumes=Volumes(
            paths,
            tokens,
            Claims(client),
            PodCertificates(client, world, tasks, settings.name),
            limits,
            world,
            plugins,
            node=settings.name,
        ),
        ids=chosen.ids,
        objects=FollowedObjects(client, world, tasks),
        events=Recorder(client, world, "kubelet", host=settings.name),
        place=_place(settings),
        facts=facts,
        machine=limits,
        resolution=_resolution(settings),
        services=services.list,
        placement=parts.placement,
        pinning=parts.pinning,
        devices=plugins.devices,
        claims=plugins.claims,
        classes=ServiceClasses(cgroup_of(settings.cluster)),
        node=lambda: node.get(NODE.ref("", settings.name)),
        swap=make_swap(settings.placing, facts),
        pod_processes=settings.placing.pod_processes,
        page_sizes=tuple(facts.pages) if cgroups.has_controller("hugetlb") else (),
    )


def client_tls(files: Certificates, name: str) -> ssl.SSLContext:
    """Returns what shows a certificate to the API server, and by whom that is known."""
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.certificate(name), files.key(name))
    context.set_alpn_protocols(["http/1.1"])
    return context


def api_transport(settings: NodeSettings, tls: ssl.SSLContext, user: str) -> HTTPTransport:
    """Returns the way to the API over HTTPS, as the user whom a certificate shows."""
    target = Target(host="127.0.0.1", port=settings.port, tls=tls, server_name="localhost")
    return HTTPTransport(target, identity=user)


def version() -> str:
    """Returns the version of this package, 0 from a checkout that is not installed."""
    try:
        return metadata.version("steersman")
    except metadata.PackageNotFoundError:
        return "0"


def _raise_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
