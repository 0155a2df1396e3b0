"""Containerfiles: what is read, and that every error has its file, line and reason."""

import pytest

from steersman.images.building.containerfile import Instruction, parse
from steersman.images.errors import BuildError


def instructions(text: str) -> list[Instruction]:
    return list(parse("FROM scratch\n" + text).stages[0].instructions)


def test_lines_are_continued_and_comments_and_empty_lines_dropped() -> None:
    parsed = parse(
        "# a comment\n"
        "FROM scratch\n"
        "\n"
        "RUN one \\\n"
        "  # a comment between\n"
        "\n"
        "  && two \\\n"
        "  && three\n"
        "  # indented comment\n"
        "env A=b\n"
    )
    (stage,) = parsed.stages
    run, env = stage.instructions
    assert (run.line, run.words) == (4, ("one   && two   && three",))
    assert (env.line, env.name, env.words) == (10, "ENV", ("A", "b"))


def test_the_escape_directive_changes_the_continuation() -> None:
    parsed = parse("# escape=`\nFROM scratch\nRUN a `\n b\\\nRUN c\n")
    assert [each.words for each in parsed.stages[0].instructions] == [("a  b\\",), ("c",)]
    assert parsed.escape == "`"


def test_directives_end_with_the_first_other_line() -> None:
    assert parse("# syntax=docker/dockerfile:1\n# escape=`\nFROM scratch\n").escape == "`"
    assert parse("# a comment\n# escape=`\nFROM scratch\n").escape == "\\"


@pytest.mark.parametrize(
    ("line", "words", "exec_form"),
    [
        ('CMD ["a", "b c"]', ("a", "b c"), True),
        ("CMD []", (), True),
        ("CMD a b", ("a b",), False),
        ("CMD ['a']", ("['a']",), False),
        ('ENTRYPOINT ["/x"]', ("/x",), True),
        ("RUN [1]", ("[1]",), False),
        ("COPY a b /c/", ("a", "b", "/c/"), False),
        ('COPY ["a b", "/c"]', ("a b", "/c"), True),
        ("ENV A=1 B='x y' C=\"d e\"", ("A", "1", "B", "'x y'", "C", '"d e"'), False),
        ("ENV A b c", ("A", "b c"), False),
        ("ENV A=x\\ y", ("A", "x\\ y"), False),
        ("LABEL a.b=c", ("a.b", "c"), False),
        ("ARG A B=c", ("A", "B=c"), False),
        ("EXPOSE 80 443/tcp", ("80", "443/tcp"), False),
        ("WORKDIR /a b", ("/a b",), False),
        ("USER\tapp:app", ("app:app",), False),
        ("STOPSIGNAL SIGINT", ("SIGINT",), False),
        ("RUN cat <<< x", ("cat <<< x",), False),
    ],
)
def test_each_instruction_is_split_as_it_needs(
    line: str, words: tuple[str, ...], exec_form: bool
) -> None:
    (found,) = instructions(line)
    assert (found.words, found.exec_form) == (words, exec_form)


def test_flags_are_taken_from_the_front() -> None:
    (copy,) = instructions("COPY --chown=1:2 --chmod=755 --from=base a --b /c")
    assert copy.flags == {"chown": "1:2", "chmod": "755", "from": "base"}
    assert copy.words == ("a", "--b", "/c")


def test_stages_have_names_and_args_may_stand_before_them() -> None:
    parsed = parse(
        "ARG V=1\nFROM a:$V AS One\nRUN x\nFROM one as two\nFROM --platform=linux/amd64 b\n"
    )
    assert [each.words for each in parsed.args] == [("V=1",)]
    assert [(stage.origin.words[0], stage.name) for stage in parsed.stages] == [
        ("a:$V", "one"),
        ("one", "two"),
        ("b", ""),
    ]
    assert parsed.stages[2].origin.flags == {"platform": "linux/amd64"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM scratch\n\nFORM x\n", "Containerfile:3: unknown instruction: FORM"),
        ("", "Containerfile:1: the file has no instructions"),
        ("# only a comment", "Containerfile:1: the file has no instructions"),
        ("RUN x\nFROM scratch\n", "Containerfile:1: no build stage in current context"),
        ("ARG A\n", "Containerfile:1: the file has no FROM"),
        ("FROM", "Containerfile:1: FROM requires at least one argument"),
        ("FROM a b", "Containerfile:1: FROM takes an image, or an image AS a stage"),
        ("FROM a OF b", "Containerfile:1: FROM takes an image, or an image AS a stage"),
        ("FROM a AS 1x", "Containerfile:1: invalid name for build stage: '1x'"),
        ("FROM a AS x\nFROM b AS X", "Containerfile:2: duplicate name of a build stage: x"),
        ("FROM a\nCOPY x", "Containerfile:2: COPY requires at least two arguments"),
        ("FROM a\nCOPY --link x y", "Containerfile:2: COPY does not support the flag --link"),
        ("FROM a\nCOPY --chown= x y", "Containerfile:2: the flag --chown needs one value"),
        ("FROM a\nCOPY --from=a --from=b x y", "Containerfile:2: the flag --from needs one value"),
        (
            "FROM a\nRUN --mount=type=bind x",
            "Containerfile:2: RUN does not support the flag --mount",
        ),
        ("FROM a\nRUN []", "Containerfile:2: RUN requires at least one argument"),
        ("FROM a\nRUN cat <<EOF\nx\nEOF", "Containerfile:2: heredocs are not supported yet"),
        ("FROM a\nCOPY <<-'EOF' /x\nEOF", "Containerfile:2: heredocs are not supported yet"),
        ("FROM a\nADD http://x/y /z", "Containerfile:2: ADD of a URL is not supported yet"),
        ("FROM a\nADD https://x/y /z", "Containerfile:2: ADD of a URL is not supported yet"),
        ("FROM a\nHEALTHCHECK NONE", "Containerfile:2: HEALTHCHECK is not supported yet"),
        ("FROM a\nENV A", "Containerfile:2: ENV must have two arguments"),
        ("FROM a\nENV A=1 B", "Containerfile:2: syntax error: 'B' in ENV"),
        ("FROM a\nENV A=1 =2", "Containerfile:2: syntax error: '=2' in ENV"),
        ("FROM a\nENV A='1", "Containerfile:2: unexpected end of statement"),
        ("FROM a\nARG 1A", "Containerfile:2: '1A' is no name for an ARG"),
        ("# escape=x\nFROM a", "Containerfile:1: invalid escape character: x"),
        ("FROM a\nRUN x \\\n\n\ny\nFORM z", "Containerfile:6: unknown instruction: FORM"),
    ],
)
def test_an_error_names_file_line_and_reason(text: str, message: str) -> None:
    with pytest.raises(BuildError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)


def test_a_file_over_the_limit_is_refused() -> None:
    with pytest.raises(BuildError, match="over 1048576 characters"):
        parse("#" * ((1 << 20) + 1))
