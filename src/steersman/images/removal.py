"""Removes directory trees of any depth, which strangers' layers may hold.

One rule: no recursion and no path longer than two names, because a tree can be deeper than Python's
stack, the limit of open files and PATH_MAX. Synchronous file work: call in a thread.
"""

import os
import tempfile
from pathlib import Path


def remove_tree(tree: Path) -> None:
    """Removes a directory and all in it; `tree` is gone at once, its content a moment later.

    Moves every directory of the tree into one new directory beside it before it looks inside.
    """
    holder = tempfile.mkdtemp(dir=tree.parent)
    parent = os.open(tree.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        remove_at(parent, tree.name, holder)
    finally:
        os.close(parent)
        os.rmdir(holder)


def remove_at(parent: int, name: str, holder: str) -> None:
    """Removes the directory `name` in `parent`; `holder` is an empty one beside it."""
    os.rename(name, f"{holder}/0", src_dir_fd=parent)
    pending, count = ["0"], 1
    while pending:
        current = f"{holder}/{pending.pop()}"
        descriptor = os.open(current, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for entry in list(os.scandir(descriptor)):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=descriptor)
                    continue
                os.rename(entry.name, f"{holder}/{count}", src_dir_fd=descriptor)
                pending.append(str(count))
                count += 1
        finally:
            os.close(descriptor)
        os.rmdir(current)
