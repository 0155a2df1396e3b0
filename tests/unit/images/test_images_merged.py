"""Stacked layer directories are seen as overlayfs shows them."""

import os
import stat
from pathlib import Path

import pytest

from steersman.images.accounts import Account, look_up
from steersman.images.errors import Refused
from steersman.images.merged import OPAQUE, Merged

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root: whiteouts are device nodes")


def layer(root: Path, **files: str) -> Path:
    """A directory with these files; `__` in a name stands for a slash, `->` makes a link."""
    root.mkdir()
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("->"):
            path.symlink_to(text[2:])
        else:
            path.write_text(text)
    return root


def whiteout(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, 0)


def text(merged: Merged, path: str) -> str | None:
    found = merged.follow(path)
    if found is None:
        return None
    with open(found.open()) as file:
        return file.read()


def test_upper_layers_hide_lower_ones_and_directories_merge(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", d__a="1", d__b="2", x="file")
    high = layer(tmp_path / "high", d__b="3", d__c="4", x__y="5")
    merged = Merged([low, high])
    assert [text(merged, f"/d/{name}") for name in "abc"] == ["1", "3", "4"]
    assert merged.names("d") == ["a", "b", "c"]
    assert merged.names("") == ["d", "x"]
    assert text(merged, "x/y") == "5"
    assert text(merged, "nowhere/at/all") is None


@needs_root
def test_whiteouts_and_opaque_directories_hide_what_is_below(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", d__a="1", e__a="1", gone__x="1", f="1")
    middle = layer(tmp_path / "middle", e__b="2")
    os.setxattr(middle / "e", OPAQUE, b"y")
    whiteout(middle / "gone")
    high = layer(tmp_path / "high", d__z="3", e__c="4")
    whiteout(high / "d/a")
    whiteout(high / "f")
    merged = Merged([low, middle, high])
    assert text(merged, "d/a") is None and merged.names("d") == ["z"]
    assert text(merged, "e/a") is None and merged.names("e") == ["b", "c"]
    assert text(merged, "gone/x") is None and text(merged, "f") is None
    assert merged.names("") == ["d", "e"]


@needs_root
def test_a_directory_over_a_whiteout_or_a_file_shows_only_itself(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", d__a="1")
    middle = layer(tmp_path / "middle", d="file")
    high = layer(tmp_path / "high", d__b="2")
    merged = Merged([low, middle, high])
    assert merged.names("d") == ["b"] and text(merged, "d/a") is None


def test_links_are_followed_inside_the_view_and_across_layers(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", usr__bin__sh="shell", bin="->usr/bin", abs="->/bin/sh")
    high = layer(tmp_path / "high", up="->../../../bin", loop="->loop", dangling="->/no/where")
    merged = Merged([low, high])
    assert merged.resolve("/up/sh") == "usr/bin/sh"
    assert text(merged, "abs") == "shell"
    assert merged.resolve("dangling/x") == "no/where/x"
    assert merged.resolve("usr/../bin/./sh") == "usr/bin/sh"
    found = merged.find("bin")
    assert found is not None and found.is_link and not found.is_directory
    with pytest.raises(Refused, match="too many symbolic links"):
        merged.resolve("loop/x")


def test_an_opened_file_is_not_one_that_a_link_was_put_over(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", d__f="1")
    (tmp_path / "secret").write_text("secret")
    found = Merged([low]).follow("d/f")
    assert found is not None
    (low / "d/f").unlink()
    (low / "d/f").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        found.open()


PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:70:71::/srv:/bin/sh\nbad line\nbare:x:9:9:::\n"
GROUP = "root:x:0:\nstaff:x:50:app,other\nwheel:x:10:app\nown:x:71:app\n"


@pytest.mark.parametrize(
    ("user", "account"),
    [
        ("", Account(0, 0, (), "/root")),
        ("app", Account(70, 71, (50, 10), "/srv")),
        ("70", Account(70, 71, (50, 10), "/srv")),
        ("app:staff", Account(70, 50, (), "/srv")),
        ("app:5", Account(70, 5, (), "/srv")),
        ("1234", Account(1234, 0, (), "/")),
        ("1234:5678", Account(1234, 5678, (), "/")),
        ("bare", Account(9, 9, (), "/")),
    ],
)
def test_a_user_is_looked_up_in_the_image(tmp_path: Path, user: str, account: Account) -> None:
    root = layer(tmp_path / "low", etc__passwd=PASSWD, etc__group=GROUP)
    assert look_up(Merged([root]), user) == account


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("app:nobody", "unable to find group nobody: no matching entries in group file"),
        (str(1 << 31), "is no user or group number"),
        ("-1", "unable to find user -1"),
    ],
)
def test_an_unknown_user_is_refused(tmp_path: Path, user: str, reason: str) -> None:
    root = layer(tmp_path / "low", etc__passwd=PASSWD, etc__group=GROUP)
    with pytest.raises(Refused, match=reason):
        look_up(Merged([root]), user)


def test_without_account_files_numbers_still_count(tmp_path: Path) -> None:
    assert look_up(Merged([layer(tmp_path / "low")]), "") == Account(0, 0, (), "/root")


def test_account_files_that_lead_out_of_the_image_are_not_read(tmp_path: Path) -> None:
    root = layer(tmp_path / "low", etc__passwd="->/../../../etc/passwd")
    with pytest.raises(Refused):
        look_up(Merged([root]), "daemon")


def test_account_files_that_are_no_files_are_as_good_as_none(tmp_path: Path) -> None:
    root = layer(tmp_path / "low", etc__passwd__x="", etc__group__x="")
    assert look_up(Merged([root]), "7") == Account(7, 0, (), "/")


@pytest.mark.parametrize("number", ["9" * 10, "0" * 11, "x7"])
def test_a_number_of_an_account_file_that_is_none_is_refused(tmp_path: Path, number: str) -> None:
    root = layer(tmp_path / "low", etc__passwd=f"bad:x:{number}:1::/:\n")
    with pytest.raises(Refused, match="is no user or group number"):
        look_up(Merged([root]), "bad")
