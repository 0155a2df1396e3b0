"""The bundle of the API server's authority: its name, and what becomes of others."""

from __future__ import annotations

from steersman.controllers.trust_bundle import SIGNER, name_of, plan
from steersman.model.kinds.clustertrustbundle import (
    CLUSTERTRUSTBUNDLE,
    ClusterTrustBundle,
    TrustBundleSpec,
)
from steersman.model.view import Meta
from steersman.reconcile.actions import Create, Delete, Patch

NAME = "kubernetes.io:kube-apiserver-serving:"


def bundle(name: str, text: str = "PEM", signer: str = SIGNER) -> ClusterTrustBundle:
    spec = TrustBundleSpec(signer_name=signer, trust_bundle=text)
    return ClusterTrustBundle(metadata=Meta(name=name, uid=f"uid-{name}"), spec=spec)


def test_its_name_is_the_signers_with_twelve_bytes_of_a_hash() -> None:
    assert name_of("PEM") == f"{NAME}384fb9a44fabe158be2757b9"


def test_one_that_is_missing_is_made_and_what_it_replaces_goes() -> None:
    old = bundle(f"{NAME}old")
    spec = {"signerName": SIGNER, "trustBundle": "PEM"}
    assert plan([old], "PEM") == [
        Create(CLUSTERTRUSTBUNDLE, {"metadata": {"name": name_of("PEM")}, "spec": spec}),
        Delete(CLUSTERTRUSTBUNDLE.ref("", f"{NAME}old"), uid=f"uid-{NAME}old"),
    ]


def test_one_that_is_there_stays_and_bundles_of_others_are_left_alone() -> None:
    others = [bundle("mine", signer=""), bundle("x:y:z", signer="x/y")]
    assert plan([bundle(name_of("PEM")), *others], "PEM") == []


def test_one_with_another_content_is_put_right() -> None:
    name = name_of("PEM")
    ref = CLUSTERTRUSTBUNDLE.ref("", name)
    expected = [Patch(ref, {"spec": {"trustBundle": "PEM"}}, uid=f"uid-{name}")]
    assert plan([bundle(name, "forged")], "PEM") == expected
