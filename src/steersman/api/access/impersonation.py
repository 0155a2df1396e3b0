"""Who acts as somebody else: the modes of constrained impersonation (KEP-5284), then the old one.

A mode allows by two verbs: `impersonate-on:MODE:VERB` on what is asked for, and `impersonate:MODE`
on each part of the identity. The old one asks for `impersonate` alone, on other API groups. The
modes are tried in upstream's order; who may by none is told why the first that applies refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

from steersman.api.access.authorization import MASTERS, Attributes, Union, forbidden
from steersman.api.access.tokens import NODE_NAME, account_user
from steersman.api.tokens.bearers import AUTHENTICATED
from steersman.model import names
from steersman.model.errors import BadRequest, Forbidden
from steersman.model.gotext import quote
from steersman.wire.message import User

ANONYMOUS_NAME: Final = "system:anonymous"
UNAUTHENTICATED: Final = "system:unauthenticated"
NODES: Final = "system:nodes"
# So many parts at once may be allowed by one rule for all of them (manyAuthorizationChecksInLoop)
MANY: Final = 4
_AS_USER: Final = "impersonate-user"
_AS_GROUP: Final = "impersonate-group"
_AS_UID: Final = "impersonate-uid"
_AS_EXTRA: Final = "impersonate-extra-"
_ACCOUNT: Final = "system:serviceaccount:"
_NODE: Final = "system:node:"
_GROUP: Final = "authentication.k8s.io"
_ASSOCIATED: Final = "associated-node"
_KEYS: Final = "authentication.kubernetes.io/associated-node-keys"


class Impersonation(NamedTuple):
    """Whom the sender of a request wants to act as."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = {}

    @property
    def by_name_alone(self) -> bool:
        """Whether nothing but a name is given."""
        return not (self.groups or self.uid or self.extra)

    def user(self, groups: tuple[str, ...]) -> User:
        """Returns the user acted as, with the group that says whether they are anybody."""
        added = UNAUTHENTICATED if self.name == ANONYMOUS_NAME else AUTHENTICATED
        known = added in groups or (added == AUTHENTICATED and UNAUTHENTICATED in groups)
        return User(self.name, groups if known else (*groups, added), self.uid, self.extra)


class Acted(NamedTuple):
    """Whom somebody acts as, and the verb of the constrained mode that allowed it; ""."""

    user: User
    constraint: str = ""


def parse(headers: Mapping[str, str]) -> Impersonation | None:
    """Reads the Impersonate-* headers; those sent several times arrive joined by line breaks.

    Raises BadRequest where no user is named.
    """
    extra = {
        unquote(header.removeprefix(_AS_EXTRA)).lower(): tuple(value.split("\n"))
        for header, value in headers.items()
        if header.startswith(_AS_EXTRA)
    }
    groups = tuple(headers[_AS_GROUP].split("\n")) if _AS_GROUP in headers else ()
    wanted = Impersonation(headers.get(_AS_USER, ""), groups, headers.get(_AS_UID, ""), extra)
    if wanted.name:
        return wanted
    if wanted.by_name_alone:
        return None
    raise BadRequest(f"requested {_shown(wanted)} without impersonating a user name")


def act(authorizer: Union, sender: User, wanted: Impersonation, asked: Attributes) -> Acted:
    """Returns whom the sender acts as in what is asked; raises Forbidden where they may not."""
    refusal: Forbidden | None = None
    for mode in _MODES:
        if not mode.applies(wanted, sender):
            continue
        try:
            return Acted(_constrained(authorizer, sender, wanted, asked, mode), mode.verb)
        except Forbidden as error:
            refusal = refusal or error
    try:
        return Acted(_legacy(authorizer, sender, wanted))
    except Forbidden as error:
        raise refusal or error from None


class _Mode(NamedTuple):
    name: str
    applies: Callable[[Impersonation, User], bool]

    @property
    def verb(self) -> str:
        return f"impersonate:{self.name}"


def _is_associated(wanted: Impersonation, sender: User) -> bool:
    node = _node(wanted.name)
    is_own = (sender.extra or {}).get(NODE_NAME) == (node,)
    return wanted.by_name_alone and bool(node) and bool(_account(sender.name)) and is_own


_MODES: Final = (
    _Mode(_ASSOCIATED, _is_associated),
    _Mode("arbitrary-node", lambda wanted, _: wanted.by_name_alone and bool(_node(wanted.name))),
    _Mode("serviceaccount", lambda wanted, _: wanted.by_name_alone and bool(_account(wanted.name))),
    _Mode("user-info", lambda wanted, _: not (_node(wanted.name) or _account(wanted.name))),
)


def _constrained(
    authorizer: Union, sender: User, wanted: Impersonation, asked: Attributes, mode: _Mode
) -> User:
    if mode.name == _ASSOCIATED:  # whose node it is was seen already
        keys = tuple(sorted(sender.extra or {}))
        sender = User(sender.name, sender.groups, sender.uid, {_KEYS: keys})
    on = asked._replace(verb=f"impersonate-on:{mode.name}:{asked.verb}")
    _require(authorizer, sender, on)
    node, account = _node(wanted.name), _account(wanted.name)
    groups = wanted.groups
    if node:
        name = "*" if mode.name == _ASSOCIATED else node
        _require(authorizer, sender, Attributes(mode.verb, _GROUP, "v1", "nodes", name=name))
        groups = (NODES,)
    elif account:
        _require(authorizer, sender, _about_account(mode.verb, _GROUP, account))
        groups = account_user(*account).groups[:2]
    else:
        user = Attributes(mode.verb, _GROUP, "v1", "users", name=wanted.name)
        _require(authorizer, sender, user)
    _require_uid(authorizer, sender, mode.verb, wanted.uid)
    _require_groups(authorizer, sender, mode.verb, wanted.groups)
    _require_extra(authorizer, sender, mode.verb, wanted.extra)
    return wanted.user(groups)


def _legacy(authorizer: Union, sender: User, wanted: Impersonation) -> User:
    verb, account = "impersonate", _account(wanted.name)
    groups = wanted.groups
    if account:
        _require(authorizer, sender, _about_account(verb, "", account))
        groups = groups or account_user(*account).groups[:2]
    else:
        _require(authorizer, sender, Attributes(verb, "", "v1", "users", name=wanted.name))
    _require_uid(authorizer, sender, verb, wanted.uid)
    for group in wanted.groups:
        _require(authorizer, sender, Attributes(verb, "", "v1", "groups", name=group))
    for attributes in _extras(verb, wanted.extra):
        _require(authorizer, sender, attributes)
    return wanted.user(groups)


def _require_uid(authorizer: Union, sender: User, verb: str, uid: str) -> None:
    if uid:
        _require(authorizer, sender, Attributes(verb, _GROUP, "v1", "uids", name=uid))


def _require_groups(authorizer: Union, sender: User, verb: str, groups: tuple[str, ...]) -> None:
    about = Attributes(verb, _GROUP, "v1", "groups")
    if "" in groups:
        raise forbidden(sender, about, "impersonating the empty string group is not allowed")
    if MASTERS in groups:
        why = f"impersonating the {MASTERS} group is not allowed"
        raise forbidden(sender, about._replace(name=MASTERS), why)
    if len(groups) >= MANY and authorizer.allowed(sender, about._replace(name="*")).allowed:
        return
    for group in groups:
        _require(authorizer, sender, about._replace(name=group))


def _require_extra(
    authorizer: Union, sender: User, verb: str, extra: Mapping[str, tuple[str, ...]]
) -> None:
    about = Attributes(verb, _GROUP, "v1", "userextras")
    if why := next(_wrong(extra), ""):
        raise forbidden(sender, about, why)
    every = about._replace(subresource="*", name="*")
    count = sum(map(len, extra.values()))
    if count >= MANY and authorizer.allowed(sender, every).allowed:
        return
    for attributes in _extras(verb, extra):
        _require(authorizer, sender, attributes)


def _extras(verb: str, extra: Mapping[str, tuple[str, ...]]) -> Iterator[Attributes]:
    for key, values in extra.items():
        for value in values:
            yield Attributes(verb, _GROUP, "v1", "userextras", key, name=value)


def _wrong(extra: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for key, values in extra.items():
        if not key:
            yield "impersonating the empty string key in extra is not allowed"
            continue
        host, _, path = key.partition("/")
        wrong = "impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "
        if not (host and path):
            detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
            yield f"{wrong}{quote(key)}: {detail}"
        elif told := names.dns1123_subdomain(host):
            yield f"{wrong}{quote(host)}: {told[0]}"
        elif told := names.http_path(path):
            yield f"{wrong}{quote(path)}: {told[0]}"
        if "" in values:
            yield "impersonating the empty string value in extra is not allowed"


def _about_account(verb: str, group: str, account: tuple[str, str]) -> Attributes:
    namespace, name = account
    return Attributes(verb, group, "v1", "serviceaccounts", "", namespace, name)


def _require(authorizer: Union, sender: User, attributes: Attributes) -> None:
    """Raises Forbidden unless the sender may, also where somebody gave no answer."""
    decision = authorizer.allowed(sender, attributes)
    if not decision.allowed:
        reason = ": ".join(filter(None, (decision.error, decision.reason)))
        raise forbidden(sender, attributes, reason)


def _account(user: str) -> tuple[str, str] | None:
    """Splits the user name of a ServiceAccount into namespace and name."""
    if not user.startswith(_ACCOUNT):
        return None
    namespace, _, name = user.removeprefix(_ACCOUNT).partition(":")
    return (namespace, name) if namespace and name and ":" not in name else None


def _node(user: str) -> str:
    """Returns the node of which a user has the name; "" for others."""
    name = user.removeprefix(_NODE)
    return name if name != user and not names.dns1123_subdomain(name) else ""


def _shown(wanted: Impersonation) -> str:
    """Returns a user as Go's %#v prints it."""
    strings = ", ".join(map(quote, wanted.groups))
    groups = f"[]string{{{strings}}}" if wanted.groups else "[]string(nil)"
    entries = ", ".join(
        f"{quote(key)}:[]string{{{', '.join(map(quote, values))}}}"
        for key, values in sorted(wanted.extra.items())
    )
    extra = f"map[string][]string{{{entries}}}" if wanted.extra else "map[string][]string(nil)"
    return (
        f"&user.DefaultInfo{{Name:{quote(wanted.name)}, UID:{quote(wanted.uid)}, Groups:{groups},"
        f" Extra:{extra}}}"
    )
