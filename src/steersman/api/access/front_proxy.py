"""Front proxies: servers that have found out who asks and name the user in headers.

They prove themselves by a certificate of an authority of its own, which makes nobody a user.
Follows apiserver's request/headerrequest; the names are kubeadm's.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from steersman.model.errors import Unauthorized
from steersman.model.kind import Document
from steersman.wire import der
from steersman.wire.message import User

AUTHENTICATED = "system:authenticated"
NAMES = ("front-proxy-client",)
USER = "x-remote-user"
GROUP = "x-remote-group"
UID = "x-remote-uid"
EXTRA = "x-remote-extra-"
# What servers behind this one know it by (controlplane/controller/clusterauthentication)
CONFIG_MAP = ("kube-system", "extension-apiserver-authentication")


class FrontProxy:
    """See the module.

    bundle: the certificate of the authority (PEM)
    show:   has TLS settings show this server as a front proxy
    """

    def __init__(self, bundle: str, show: Callable[[ssl.SSLContext], None]) -> None:
        self.bundle = bundle
        self.show = show
        self._authority = ssl.PEM_cert_to_DER_cert(bundle)
        self._name = der.subject_name(self._authority)

    def issued(self, certificate: bytes) -> bool:
        """Says whether the authority issued a certificate that the TLS layer has verified.

        The name alone would do where no other authority may issue under any; the signature is
        looked at only where the name fits. Raises ValueError for what cannot be read.
        """
        if der.issuer_name(certificate) != self._name:
            return False
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature

        authority = x509.load_der_x509_certificate(self._authority)
        try:
            x509.load_der_x509_certificate(certificate).verify_directly_issued_by(authority)
        except (InvalidSignature, TypeError):
            return False
        return True

    def user(self, certificate: bytes, headers: Mapping[str, str]) -> User:
        """Returns whom a front proxy names; raises Unauthorized where it may not, or nobody."""
        if der.subject(certificate).common_name not in NAMES:
            raise Unauthorized
        user = named_user(headers)
        if user is None:
            raise Unauthorized
        return user


def named_user(headers: Mapping[str, str]) -> User | None:
    """Returns the user whom headers name, None where they name nobody."""
    name = headers.get(USER, "")
    if not name:
        return None
    groups = _list(headers.get(GROUP, ""))
    extra = {
        unquote(header.removeprefix(EXTRA)).lower(): _list(value)
        for header, value in headers.items()
        if header.startswith(EXTRA)
    }
    everybody = tuple(dict.fromkeys((*groups, AUTHENTICATED)))
    return User(name, everybody, headers.get(UID, ""), extra)


def document(client_authority: str, bundle: str) -> Document:
    """Returns the ConfigMap by which servers behind this one know it and its users."""
    namespace, name = CONFIG_MAP
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {
            "client-ca-file": client_authority,
            "requestheader-allowed-names": _json(*NAMES),
            "requestheader-client-ca-file": bundle,
            "requestheader-extra-headers-prefix": _json("X-Remote-Extra-"),
            "requestheader-group-headers": _json("X-Remote-Group"),
            "requestheader-uid-headers": _json("X-Remote-Uid"),
            "requestheader-username-headers": _json("X-Remote-User"),
        },
    }


def _json(*values: str) -> str:
    return json.dumps(values, separators=(",", ":"))


def _list(value: str) -> tuple[str, ...]:
    return tuple(item for item in value.split("\n") if item)
