"""Image names are read and printed as docker does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.images.errors import InvalidReference
from steersman.images.references import Reference, parse

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1.14.2", "docker.io/library/nginx:1.14.2", "nginx:1.14.2"),
        ("library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"),
        ("a/b", "docker.io/a/b:latest", "a/b:latest"),
        ("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("host:5000/x/y__z", "host:5000/x/y__z:latest", "host:5000/x/y__z:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("Upper/x", "Upper/x:latest", "Upper/x:latest"),
        (
            "gcr.io/fluentd-elasticsearch/fluentd:v2.5.1",
            "gcr.io/fluentd-elasticsearch/fluentd:v2.5.1",
            "gcr.io/fluentd-elasticsearch/fluentd:v2.5.1",
        ),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", f"nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}", f"nginx:1@{DIGEST}"),
        ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128, "x:" + "t" * 128),
    ],
)
def test_a_name_is_normalised_and_has_a_familiar_form(text: str, full: str, familiar: str) -> None:
    reference = parse(text)
    assert str(reference) == full
    assert reference.familiar == familiar
    assert parse(full) == reference
    assert parse(familiar) == reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "repository name must have at least one component"),
        ("Nginx", "invalid reference format: repository name (library/Nginx) must be lowercase"),
        ("a/B:c", "invalid reference format: repository name (a/B) must be lowercase"),
        ("a" * 64, "cannot specify 64-byte hexadecimal strings"),
        ("nginx:", "invalid reference format"),
        ("nginx@", "invalid reference format"),
        ("nginx:-x", "invalid reference format"),
        ("x:" + "t" * 129, "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a-", "invalid reference format"),
        ("a..b/c/d", "invalid reference format"),
        ("host:port/x", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("nginx@sha256:12", "invalid reference format"),
        ("nginx@md5:" + "0" * 32, "invalid reference format"),
        (f"nginx@{DIGEST.upper()}", "invalid reference format"),
        ("x" * 2000, "invalid reference format"),
        ("a.b/" + "x" * 252, "repository name must not be more than 255 characters"),
    ],
)
def test_a_name_against_the_grammar_is_refused_in_dockers_words(text: str, message: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse(text)
    assert message in str(caught.value)


def test_a_name_of_exactly_255_characters_is_taken() -> None:
    assert parse("a.b/" + "x" * 251).path == "x" * 251


components = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
domains = st.one_of(
    st.just("docker.io"),
    st.from_regex(r"[a-z0-9]{1,8}\.[a-z]{2,3}(:[0-9]{1,5})?", fullmatch=True),
)
references = st.builds(
    Reference,
    domain=domains,
    path=st.lists(components, min_size=2, max_size=4).map("/".join),
    tag=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    digest=st.one_of(st.none(), st.just(DIGEST)),
)


@given(references)
def test_what_is_printed_parses_to_the_same_reference(reference: Reference) -> None:
    assert parse(str(reference)) == reference
    assert parse(reference.familiar) == reference


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_and_what_is_parsed_is_stable(text: str) -> None:
    try:
        reference = parse(text)
    except InvalidReference:
        return
    assert parse(str(reference)) == reference
