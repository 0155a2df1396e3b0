"""The options of the controllers: which of them run, read as upstream reads them."""

from __future__ import annotations

import argparse

import pytest

from controlled import NoSigner
from steersman.cli.failure import Failure
from steersman.cli.options import controllers as options
from steersman.controllers import choice
from steersman.controllers.choice import KNOWN, Choice, PodRange, is_enabled
from steersman.controllers.registry import Facts, controllers

EVERYTHING = choice.parse(",".join(KNOWN))


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    return parser.parse_args(words)


def running(text: str) -> set[str]:
    """The names of the controllers that a list has run."""
    chosen = Choice(choice.parse(text), pods=(PodRange("10.244.0.0/16", 24),))
    found = controllers(Facts("a bundle", "10.96.0.0/16", NoSigner(), chosen))
    return {choice.called(it.name) for it in found}


def test_every_controller_has_the_name_that_is_known() -> None:
    assert running(",".join(KNOWN)) == set(KNOWN)
    assert running(choice.DEFAULT) == set(KNOWN)
    assert len(set(KNOWN)) == len(KNOWN)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("*", {"bootstrap-signer-controller", "token-cleaner-controller"}),
        ("*,tokencleaner", {"bootstrap-signer-controller"}),
        (
            "*,-deployment-controller",
            {"bootstrap-signer-controller", "token-cleaner-controller", "deployment-controller"},
        ),
        ("*,bootstrapsigner,tokencleaner,-csrsigning", {KNOWN[3]}),
    ],
)
def test_a_star_runs_all_that_are_on_by_default(text: str, missing: set[str]) -> None:
    assert set(KNOWN) - running(text) == missing


def test_old_names_are_those_of_controllers_that_are_there() -> None:
    assert set(choice.ALIASES.values()) <= set(KNOWN)
    assert not set(choice.ALIASES) & set(KNOWN)


def test_without_a_star_only_those_run_that_are_named() -> None:
    assert running("job-controller,ttl") == {"job-controller", "ttl-controller"}
    assert running("-job") == set()


def test_the_first_word_about_a_controller_counts() -> None:
    assert is_enabled("job-controller", choice.parse("job,-job"))
    assert not is_enabled("job-controller", choice.parse("-job,job,*"))


@pytest.mark.parametrize("text", ["nonsense", "*,-nonsense", "", "*,"])
def test_a_name_that_no_controller_has_is_refused(text: str) -> None:
    with pytest.raises(Failure) as raised:
        options.read(parsed(f"--controllers={text}"))
    name = text.rpartition(",")[2].removeprefix("-")
    why = f'--controllers {text}: "{name}" is not in the list of known controllers; there are'
    assert str(raised.value).startswith(f"{why} {KNOWN[0]}, ")


def test_options_are_read_and_given_on() -> None:
    assert options.read(parsed()) == Choice()
    given = parsed("--controllers=-job,*", "--cluster-signing-duration", "90m")
    wanted = Choice(("-job-controller", "*"), 5400)
    assert options.read(given) == wanted
    assert options.read(parsed(*options.words(given))) == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a year", "it is no duration, as 8760h or 90m is"),
        ("-1h", "it must be greater than zero"),
        ("0", "it must be greater than zero"),
    ],
)
def test_a_life_of_certificates_that_cannot_be_is_refused(text: str, why: str) -> None:
    with pytest.raises(Failure) as raised:
        options.read(parsed(f"--cluster-signing-duration={text}"))
    assert str(raised.value) == f"--cluster-signing-duration {text}: {why}"


def test_nodes_get_no_ranges_unless_somebody_asks_for_it() -> None:
    assert options.read(parsed("--cluster-cidr", "10.244.0.0/16")).pods == ()
    found = controllers(Facts("a bundle", "10.96.0.0/16", NoSigner()))
    assert "node-ipam-controller" not in {it.name for it in found}


def test_ranges_for_nodes_have_upstreams_options_and_sizes() -> None:
    both = parsed("--allocate-node-cidrs", "--cluster-cidr=10.244.0.0/16,fd00:1::/56")
    expected = (PodRange("10.244.0.0/16", 24), PodRange("fd00:1::/56", 64))
    assert options.read(both).pods == expected
    sized = parsed(
        "--allocate-node-cidrs=true", "--cluster-cidr=10.244.0.0/16", "--node-cidr-mask-size=26"
    )
    assert options.read(sized).pods == (PodRange("10.244.0.0/16", 26),)
    assert options.read(parsed(*options.words(sized))).pods == options.read(sized).pods
    assert options.read(parsed(*options.words(both))).pods == expected


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "--allocate-node-cidrs: --cluster-cidr must say of which range, as 10.244.0.0/16"),
        (("--cluster-cidr=10.244.0.0",), "of 10.244.0.0/32 it is between 32 and 32"),
        (("--cluster-cidr=ten",), "--cluster-cidr: 'ten' does not appear to be an IPv4 or IPv6"),
        (("--cluster-cidr=10.244.0.1/16",), "10.244.0.1/16 has host bits set"),
        (
            ("--cluster-cidr=10.0.0.0/16,10.1.0.0/16",),
            "10.0.0.0/16,10.1.0.0/16: one range of each IP version at most",
        ),
        (
            ("--cluster-cidr=10.244.0.0/25",),
            "--node-cidr-mask-size 24: of 10.244.0.0/25 it is between 25 and 32",
        ),
        (
            ("--cluster-cidr=10.0.0.0/8", "--node-cidr-mask-size=25"),
            "--node-cidr-mask-size 25: of 10.0.0.0/8 it is between 8 and 24",
        ),
        (
            ("--cluster-cidr=fd00::/48", "--node-cidr-mask-size-ipv6=80"),
            "--node-cidr-mask-size-ipv6 80: of fd00::/48 it is between 48 and 64",
        ),
    ],
)
def test_ranges_that_cannot_be_are_refused_in_one_line(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(Failure) as refused:
        options.read(parsed("--allocate-node-cidrs", *words))
    assert why in str(refused.value)
