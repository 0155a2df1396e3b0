"""The parts of the API server around one cache, built in the order in which they need others."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import field

from steersman.api.access import front_proxy
from steersman.api.access.authentication import Authenticator, Nameless
from steersman.api.access.authorization import (
    Attributes,
    Authorizer,
    Decision,
    Masters,
    Union,
    enforce,
)
from steersman.api.access.awaiting import Awaiting, fetched
from steersman.api.access.escalation import Escalation
from steersman.api.access.front_proxy import FrontProxy
from steersman.api.access.modes import chosen
from steersman.api.access.node_authorizer import NodeAuthorizer
from steersman.api.access.node_graph import NodeGraph
from steersman.api.access.rbac import GROUP, RBAC
from steersman.api.access.reviews import Reviews
from steersman.api.access.settings import AccessSettings
from steersman.api.access.tokens import Key, Tokens
from steersman.api.admission.assembly import Parts, assemble
from steersman.api.admission.plugins.namespaces import NamespaceAutoProvision
from steersman.api.admission.plugins.registry import AdmissionSettings
from steersman.api.admission.policies.status import PolicyStatus
from steersman.api.aggregation.availability import Availability
from steersman.api.aggregation.registration import Registration
from steersman.api.aggregation.remotes import Remotes
from steersman.api.bootstrap import dns_service, metrics_service, own_service, writing
from steersman.api.bootstrap.default_range import DefaultRange
from steersman.api.bootstrap.service_addresses import KeptAddresses
from steersman.api.cache import Cache, Event
from steersman.api.call import Call
from steersman.api.custom.conversion import Webhook, is_good_bundle
from steersman.api.custom.definitions import Definitions
from steersman.api.custom.keeper import Keeper
from steersman.api.custom.scale import CustomScale
from steersman.api.delete import Deleter
from steersman.api.effects.effect import Effects
from steersman.api.effects.services import ServiceAddresses
from steersman.api.fairness.parts import FlowControl
from steersman.api.fairness.settings import FlowSettings
from steersman.api.metrics.answer import ResourceMetrics
from steersman.api.metrics.documents import GROUP as METRICS
from steersman.api.metrics.kubelet import asking
from steersman.api.metrics.windows import Windows
from steersman.api.objects import Objects
from steersman.api.paths import Answer, Check, Checks, Paths
from steersman.api.published import meter
from steersman.api.published.discovery import build_info
from steersman.api.published.paths import document_paths
from steersman.api.published.reloads import Reloads
from steersman.api.published.zpages import Pages
from steersman.api.read import Reader
from steersman.api.retention.events import TTL_SECONDS, EventExpiry
from steersman.api.retention.history import Compaction
from steersman.api.server import Answer as Answered
from steersman.api.server import Api, Subresource
from steersman.api.subresources import token
from steersman.api.subresources.binding import Binding, LegacyBinding
from steersman.api.subresources.eviction import Eviction
from steersman.api.subresources.finalize import Finalize
from steersman.api.subresources.heard import Heard
from steersman.api.subresources.kubelets import Kubelets
from steersman.api.subresources.proxy import Proxies
from steersman.api.subresources.review import Review
from steersman.api.subresources.scale import Scale
from steersman.api.subresources.streams import Streams
from steersman.api.subresources.token import TokenRequest
from steersman.api.tokens.issuers import Issuers
from steersman.api.tokens.known import assemble_bearers
from steersman.api.tokens.legacy_secrets import LegacySecrets
from steersman.api.tokens.legacy_tracking import LegacyTracking
from steersman.api.watch import Watches
from steersman.api.write import Writer
from steersman.model import builtin
from steersman.model.builtin import Registry
from steersman.model.errors import APIError, Unauthorized
from steersman.model.figures import Family, Sources
from steersman.model.kind import Document, Kind
from steersman.model.pack import NUMBER
from steersman.model.ref import Ref, Resource
from steersman.model.service_range import dns_address
from steersman.model.surface import Surface
from steersman.wire import prometheus
from steersman.wire.message import Notes, Request, Response, User
from steersman.world.interface import World

if TYPE_CHECKING:  # loaded where time is virtual, requests are noted, or webhooks authorize
    from steersman.api.access.webhook.figures import Figures
    from steersman.api.audit.auditor import Auditor
    from steersman.api.audit.settings import AuditSettings
    from steersman.world.clock import Clock

SERVICES = Resource("", "services")
PODS = Resource("", "pods")
VOLUMES = Resource("", "persistentvolumes")
ADDRESSES = Resource("networking.k8s.io", "ipaddresses")
READS = ("get", "list")
RBAC_PLURALS = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")


class Configuration(msgspec.Struct, frozen=True):
    """What makes this server another than its like.

    signing_key: the private key (PEM) of service account tokens
    advertised:  the address at which pods reach this server, at `port`
    kubelet_tls: makes the settings with which this server shows itself to kubelets; without
                 them no logs of pods can be read and no command be run in them
    authority:   the certificate (PEM) by which clients know this server, and it them
    access:      who is asked who somebody is and who may
    event_seconds: how long Events are kept; 0: for ever
    flow:        how many requests are served at once, and whether fairly
    admission:   which plugins are asked about a write
    audit:       which requests are noted, and where; None: none
    front_proxy: how this server shows itself to servers behind it, and knows its like
    checks:      of health, beside the server's own
    controls:    controllers and scheduler are in this server's process
    minor:       of Kubernetes 1, as clients see it; `schema.serve` has been told of it
    clock:       cluster time, where it is virtual
    dns:         the address and port at which a node answers for names; "": no node does
    flags:       with which options it was started, for /flagz
    """

    service_cidr: str
    signing_key: bytes
    port: int
    advertised: str
    kubelet_tls: Callable[[], ssl.SSLContext] | None = None
    dns: tuple[str, int] = ("", dns_service.PORT)
    authority: str = ""
    access: AccessSettings = AccessSettings()
    event_seconds: float = TTL_SECONDS
    flow: FlowSettings = FlowSettings()
    admission: AdmissionSettings = AdmissionSettings()
    audit: AuditSettings | None = None
    front_proxy: FrontProxy | None = None
    minor: int = NUMBER
    clock: Clock | None = None
    controls: bool = False
    checks: Mapping[str, Check] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)


def _telling(families: Callable[[], Iterable[Family]]) -> Answer:
    """Returns what answers with what was counted, and what is there to be counted."""

    def answer(_request: Request, _user: User) -> Response:
        return Response(prometheus.render(families()), content_type=prometheus.CONTENT_TYPE)

    return answer


def _auditor(configuration: Configuration, kinds: Registry, world: World) -> Auditor | None:
    if configuration.audit is None:
        return None
    from steersman.api.audit import parts

    return parts.assemble(configuration.audit, kinds, world)


class Access:
    """Authentication and authorization together, counted; see `server.Access`."""

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: Union,
        counts: meter.Meter,
        monotonic: Callable[[], float],
        auditor: Auditor | None = None,
    ) -> None:
        self._authenticator = authenticator
        self.authorizer = authorizer
        self._counts = counts
        self._monotonic = monotonic
        self._auditor = auditor

    def identify(self, request: Request) -> User:
        """Returns who asks; what has to be fetched first is counted once it is there."""
        began, outcome = self._monotonic(), "success"
        try:
            return self._identify(request)
        except Unauthorized as error:
            outcome = "failure" if isinstance(error, Nameless) else "error"
            raise
        except Awaiting:
            outcome = ""
            raise
        finally:
            if outcome:
                self._counts.authentications.count(outcome, self._monotonic() - began)

    def _identify(self, request: Request) -> User:
        if self._auditor is not None:
            return self._auditor.identify(self._authenticator, request)
        return self._authenticator.identify(request)

    def require(self, user: User, attributes: Attributes, notes: Notes | None = None) -> None:
        """Raises Forbidden where they may not; has it noted either way."""
        began = self._monotonic()
        decision = self.authorizer.allowed(user, attributes)
        self._counts.authorizations.count(_outcome(decision), self._monotonic() - began)
        enforce(decision, user, attributes, notes)


def _outcome(decision: Decision) -> str:
    if decision.allowed:
        return "allowed"
    return "error" if decision.error else "denied" if decision.denied else "no-opinion"


class Assembly:
    """An API server's parts; `api.handle` is what the transports call, `figures` who tells what was
    counted in its process."""

    def __init__(self, cache: Cache, configuration: Configuration, world: World) -> None:
        self.cache = cache
        self.kinds = Registry(removed=True)
        self._surface = Surface(configuration.minor)
        self._world = world
        self.figures = Sources()
        self.figures.add(self._families)
        self._asked: Figures | None = None  # of webhooks that authorize
        self._objects = Objects(cache)
        self.definitions = Definitions(cache, self.kinds, self._converter)
        self.rbac = RBAC(self._objects)
        self._graph = NodeGraph()
        nodes = NodeAuthorizer(self._graph, self._objects.find)
        settings = configuration.access
        self._nodes = nodes
        authorizer = Union(*self._authorizers(settings))
        self.tokens = self._tokens(configuration)
        self._tracking = LegacyTracking(cache, world)
        self._issuers = Issuers(settings.authentication, world)
        self._bearers = assemble_bearers(
            *(settings, self.tokens, self._objects.find, self._tracking.used),
            *(self._issuers, world),
        )
        front = configuration.front_proxy
        authenticator = Authenticator(self._bearers, authorizer, front, settings.anonymous_paths())
        self._authenticator, self._settings = authenticator, settings
        self.reloads = Reloads(os.uname().nodename)
        self._auditor = _auditor(configuration, self.kinds, world)
        self._meter = meter.Meter(world.wire_now())
        self.access = Access(authenticator, authorizer, self._meter, world.monotonic, self._auditor)
        self.reader = Reader(cache, world)
        self.watches = Watches(cache, self.reader, world)
        self.definitions.changed = self.watches.end_of
        find = self._objects.find
        escalation = Escalation(self.rbac, authorizer)
        parts = Parts(
            cache, world, self.kinds, self.definitions, find, authorizer, escalation, self._provide
        )
        chain, self._dynamic = assemble(configuration.admission, parts)
        self.figures.add(chain.families)
        self._heard = Heard(chain)
        effects = Effects({SERVICES: ServiceAddresses(cache, configuration.service_cidr, world)})
        self.writer = Writer(cache, self.reader, chain, effects, world, authorizer.require)
        self.deleter = Deleter(self.writer, self.reader, chain, effects, world)
        self._configuration = configuration
        self._kubelets = Kubelets(find, configuration.kubelet_tls)
        self._address = f"127.0.0.1:{configuration.port}"
        show = front.show if front is not None else _show_nothing
        self._remotes = Remotes(cache, find, show, world)
        self.ready = False
        self.flow = FlowControl(configuration.flow, cache, self.watches.interest, world)
        self.api = self._api()
        self._keeper = Keeper(self.definitions, cache, self.api, world, is_good_bundle)
        bundle = configuration.authority
        self._registration = Registration(cache, self.api, world, configuration.minor)
        self._availability = Availability(cache, self._remotes, self.api, world)
        self._policies = PolicyStatus(cache, self.kinds, self.api, world)
        self._kept = KeptAddresses(cache, self.api, world)
        self._range = DefaultRange(cache, self.api, configuration.service_cidr, world)
        self._legacy = LegacySecrets(cache, self.api, self.tokens, bundle, world)

    def kind(self, resource: tuple[str, str]) -> Kind | None:
        """Returns a kind as parts of the server know it: a built-in one without the versions that
        are gone."""
        return builtin.registry().of(resource) or self.kinds.of(resource)

    def _authorizers(self, settings: AccessSettings) -> Sequence[Authorizer]:
        webhooks = self._webhooks(settings)
        nodes, policies = self._nodes, settings.policies
        return (Masters(), *chosen(settings.modes, nodes, self.rbac, webhooks, policies))

    def _webhooks(self, settings: AccessSettings) -> list[Authorizer]:
        if not settings.authorization_webhooks:
            return []
        from steersman.api.access.webhook.authorizer import WebhookAuthorizer  # with the first one
        from steersman.api.access.webhook.figures import Figures

        if self._asked is None:
            self._asked = Figures()
            self.figures.add(self._asked.families)
        asked, world = self._asked, self._world
        return [WebhookAuthorizer(one, world, asked) for one in settings.authorization_webhooks]

    def trust(self, settings: AccessSettings) -> None:
        """Finds out from now on who asks as these settings say."""
        self._issuers.trust(settings.authentication)
        self._authenticator.allow_anonymous(settings.anonymous_paths())

    def authorize(self, settings: AccessSettings) -> None:
        """Has authorizers decide from now on as these settings say."""
        self.access.authorizer.ask(*self._authorizers(settings))
        self._settings = settings

    def _converter(self, definition: Document) -> Webhook | None:
        """Returns what converts objects of a definition, None where their apiVersion alone
        differs."""
        strategy = (definition["spec"].get("conversion") or {}).get("strategy")
        if strategy != "Webhook":
            return None
        return Webhook(definition, self._objects.find, self._world)

    def _tokens(self, configuration: Configuration) -> Tokens:
        return Tokens(
            [Key(configuration.signing_key)],
            self._objects.metadata,
            wall=self._world.wire_now,
            now=self._world.now,
            uid=self._world.uid,
        )

    async def _provide(self, namespace: str) -> None:
        """Makes a namespace; why it could not be made is told to whoever needs it."""
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        try:
            await writing.create(self.api, writing.kind_of(self.kinds, document), document)
        except APIError as error:
            fetched()[NamespaceAutoProvision.name, namespace] = error.message

    def _subresources(self) -> Mapping[tuple[str, str], Subresource]:
        scale = Scale(self.writer, self._world).handle
        custom = CustomScale(self.writer, self._world).handle
        heard = self._heard
        tokens = TokenRequest(self.tokens, self._objects.find, self.access.authorizer)
        binding = Binding(self.writer, self._world)
        eviction = Eviction(self.writer, self.deleter, self._world)
        return {
            **self._streams(),
            ("", "scale"): heard.scaled(
                lambda call: (custom if call.version.shape else scale)(call)
            ),
            ("pods", "binding"): heard.created(binding.handle, "io.k8s.api.core.v1.Binding"),
            ("pods", "eviction"): heard.created(eviction.handle, "io.k8s.api.policy.v1.Eviction"),
            ("namespaces", "finalize"): Finalize(self.writer, self.reader).handle,
            ("serviceaccounts", "token"): heard.created(tokens.handle, token.DEFINITION),
        }

    def _streams(self) -> Mapping[tuple[str, str], Subresource]:
        kubelets = self._kubelets
        streams = Streams(kubelets, self.access.require, self._world)
        connected = self._heard.connected
        proxies = Proxies(self._objects.find, kubelets, self._world)
        return {
            ("pods", "proxy"): connected(proxies.pod),
            ("services", "proxy"): connected(proxies.service),
            ("nodes", "proxy"): connected(proxies.node),
            ("pods", "log"): streams.log,
            ("pods", "exec"): connected(streams.exec),
            ("pods", "attach"): connected(streams.attach),
            ("pods", "portforward"): connected(streams.portforward),
        }

    def _api(self) -> Api:
        told = self._configuration
        checks = Checks({"ping": lambda: "", "startup": self._startup}, told.checks)
        # Pods look for the keys too, where there is a node: loopback is their own
        pods = f"{told.advertised}:{told.port}" if told.dns[0] else ""
        figures = {
            "/metrics": _telling(self.figures.families),
            "/metrics/slis": _telling(checks.families),
        }
        subresources = self._subresources()
        pages = Pages(
            self._surface.minor,
            self._meter.started,
            self._world.wire_now,
            told.flags,
            (*checks.paths(), *figures, "/version"),
        )
        own = {**figures, **pages.answers()}
        documents = document_paths(
            self.kinds,
            self.tokens,
            self._address,
            self._remotes,
            self._surface,
            pods,
            (*checks.paths(), *own),
        )
        return Api(
            kinds=self.kinds,
            cache=self.cache,
            access=self.access,
            paths=Paths(checks, {**documents, **self.flow.paths(), **self._clock(), **own}),
            reader=self.reader,
            watches=self.watches,
            writer=self.writer,
            deleter=self.deleter,
            subresources=subresources,
            extensions={METRICS: self._resource_metrics()},
            reviews=self._answered(subresources),
            meter=self._meter,
            serving=self.flow.serving,
            monotonic=self._world.monotonic,
            elsewhere=self._remotes.handle,
            auditor=self._auditor,
            surface=self._surface,
        )

    def _clock(self) -> dict[str, Answer]:
        """Returns who answers for a clock that is virtual."""
        clock = self._configuration.clock
        if clock is None:
            return {}
        from steersman.api.published.clock import PATH, ClockPath

        return {PATH: ClockPath(clock, self._world).handle}

    def _answered(self, subresources: Mapping[tuple[str, str], Subresource]) -> Subresource:
        """Returns what answers for the kinds that are not stored."""
        access = self.access
        reviews = Reviews(access.authorizer, self._bearers, self._world.now)
        review = Review(reviews, self._world.now).handle
        bound = LegacyBinding(
            subresources["pods", "binding"], lambda *asked: self.api.resolve(*asked)
        )

        def answer(call: Call) -> Answered:
            if call.kind.plural == "bindings":
                return bound.handle(call)
            if call.kind.plural != "componentstatuses" or call.attributes.verb not in READS:
                return review(call)
            from steersman.api.published.components import Components  # nearly nobody asks

            controls = self._configuration.controls
            return Components(self._objects.find, self._world, controls=controls).handle(call)

        return answer

    def _resource_metrics(self) -> ResourceMetrics:
        """Returns what answers for metrics.k8s.io."""
        windows = Windows(asking(self._kubelets, self._world), self._world)
        return ResourceMetrics(self.cache, windows, self._world)

    def _families(self) -> Iterator[Family]:
        tables = self.cache.tables()
        objects = {one.resource: len(one) for one in tables if len(one)}
        watches = {one.resource: one.watching for one in tables}
        yield from meter.families(self._meter, objects, watches, self.api.watch_events())
        yield build_info(self._surface.minor)
        yield from self.flow.families()
        yield from self.reloads.families()
        if self._auditor is not None:
            from steersman.api.audit import metrics

            yield from metrics.families(self._auditor)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered; streams to other servers do not count."""
        return self._meter.busy

    def _follow(self) -> None:
        """Keeps what authorizers know in step with the cache."""
        for plural in RBAC_PLURALS:
            self._objects.on_change(Resource(GROUP, plural), lambda _event: self.rbac.changed())
        graph = {PODS: self._graph.pod_changed, VOLUMES: self._graph.volume_changed}
        for resource, changed in graph.items():
            self._objects.on_change(resource, partial(_tell, changed))
            for entry in self.cache.table(resource).ordered():
                changed(None, entry.value)

    def _own(self) -> list[Document]:
        """Returns the objects that stand for this server, and for the node's DNS server."""
        configuration = self._configuration
        network = ip_network(configuration.service_cidr)
        own = own_service.documents(str(network[1]), configuration.advertised, configuration.port)
        own.append(metrics_service.document())
        names = str(dns_address(network))
        service = self._objects.find(Ref(SERVICES, dns_service.NAMESPACE, dns_service.NAME))
        holder = self._objects.find(Ref(ADDRESSES, "", names))
        if (front := configuration.front_proxy) is not None:
            own.append(front_proxy.document(configuration.authority, front.bundle))
        if dns_service.check_vacant(service, holder):
            own += dns_service.documents(names, *configuration.dns)
        return own

    def _startup(self) -> str:
        return "" if self.ready else "not finished"

    async def run(self, started: Callable[[], Any]) -> None:
        """Loads the state, writes what a cluster cannot be without, and serves until cancelled."""
        await self.cache.load()
        self._follow()
        self.definitions.follow()
        self._remotes.follow()
        async with self._world.tasks() as tasks:
            tasks.start(self.cache.run(), name="cache")
            tasks.start(self.watches.deadlines.run(), name="watch deadlines")
            tasks.start(self.watches.bookmark(), name="bookmarks")
            self.watches.tasks = tasks
            tasks.start(self._keeper.run(tasks), name="definitions")
            for work in self._auditor.work if self._auditor is not None else ():
                tasks.start(work(), name="audit events")
            self.flow.begin(self.api, tasks)
            await writing.write(self.api, self.kinds, self._objects, self._own())
            await self.flow.run(self.api, tasks)
            begun = (self._registration.begin(), self._tracking.begin(self.api))
            await asyncio.gather(*begun, self._range.begin())  # they share a commit
            tasks.start(self._registration.run(tasks), name="registration")
            tasks.start(self._availability.run(tasks), name="availability")
            tasks.start(self._legacy.run(tasks), name="legacy tokens")
            tasks.start(self._tracking.run(tasks), name="legacy token tracking")
            tasks.start(self._range.run(tasks), name="default service range")
            tasks.start(self._kept.run(tasks), name="service addresses")
            tasks.start(self._policies.run(tasks), name="policy status")
            tasks.start(Compaction(self.cache, self._world).run(), name="compaction")
            expiry = EventExpiry(self.cache, self._world, self._configuration.event_seconds)
            tasks.start(expiry.run(), name="old events")
            self._dynamic.open()
            self.ready = True
            started()


def _show_nothing(context: ssl.SSLContext) -> None:
    """Leaves TLS settings without a certificate."""


def _tell(changed: Callable[[bytes | None, bytes | None], None], event: Event) -> None:
    changed(event.old.value if event.old else None, event.new.value if event.new else None)
