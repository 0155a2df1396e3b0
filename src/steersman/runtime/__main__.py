"""The runtime's command line: runc's verbs for one container, and `warm` for a node.

Runs alone: `python -I -S <path>/steersman/runtime/__main__.py`. Rule: a process that a container
could look at runs from a sealed copy of the interpreter; what sets it up first says so (seal).
"""

from __future__ import annotations

import gc
import os
import sys

if not __package__:
    # Isolated mode puts no directory on the path; the package's parent goes last, after the
    # standard library, so that nothing beside the package can take a library module's place.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def main() -> None:
    """Runs the command line."""
    gc.disable()  # a command ends before there is anything to collect
    from steersman.runtime import image

    words = sys.argv[1:]
    starts = "run" in words or "create" in words
    known = starts and image.install()
    from steersman.runtime.command import verbs

    code = verbs.run(words)
    if starts and not known and code == 0:
        image.make()
    sys.stdout.flush()
    # The interpreter's own taking apart costs milliseconds that nothing here needs.
    os._exit(code)


if __name__ == "__main__":
    main()
