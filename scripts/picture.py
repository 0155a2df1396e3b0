"""Draws a terminal's transcript as an SVG: `python scripts/picture.py [COMMAND ...]`.

With commands it runs them first and keeps what they print in docs/terminal.txt; without, it draws
the transcript that is there. Each argument is one command line. Standard library only.
"""

from __future__ import annotations

import subprocess
import sys
from html import escape
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
TRANSCRIPT = DOCS / "terminal.txt"
PICTURE = DOCS / "terminal.svg"

# Pixels; a monospaced letter is about 0.6 of its size wide
FONT = 13
LETTER = 7.83
LINE = 18
MARGIN = 18
BAR = 30
BACKGROUND, TEXT, PROMPT, HEADING = "#16181d", "#d5d9e0", "#7fd18b", "#7cb7ff"


def record(commands: list[str]) -> str:
    """Runs commands in a shell and returns the transcript, standard error included."""
    lines = []
    for command in commands:
        done = subprocess.run(
            command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lines += [f"$ {command}", *done.stdout.rstrip().splitlines(), ""]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def colour(line: str) -> str:
    """Returns the colour of a line by what it is: a command, a heading of steer, output."""
    if line.startswith("$ "):
        return PROMPT
    return HEADING if line.startswith("==>") else TEXT


def render(transcript: str) -> str:
    """Returns the picture of a transcript."""
    lines = transcript.rstrip("\n").split("\n")
    width = round(max(len(line) for line in lines) * LETTER + 2 * MARGIN)
    height = BAR + len(lines) * LINE + MARGIN
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        "<title>A terminal in which steer runs</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>',
    ]
    for number, dot in enumerate(("#e0645c", "#e2b341", "#63b562")):
        shapes.append(f'<circle cx="{MARGIN + number * 18}" cy="15" r="5" fill="{dot}"/>')
    shapes.append(
        f"<g font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" "
        f'font-size="{FONT}" xml:space="preserve">'
    )
    for number, line in enumerate(lines):
        if not line:
            continue
        y = BAR + (number + 1) * LINE - 4
        shapes.append(
            f'<text x="{MARGIN}" y="{y}" fill="{colour(line)}">{escape(line, quote=False)}</text>'
        )
    return "\n".join([*shapes, "</g>", "</svg>", ""])


def main() -> None:
    """Records where commands are given, then draws."""
    if sys.argv[1:]:
        TRANSCRIPT.write_text(record(sys.argv[1:]))
    PICTURE.write_text(render(TRANSCRIPT.read_text()))


if __name__ == "__main__":
    main()
