"""What is raised where an extender is of no help."""

from __future__ import annotations


class Failed(Exception):
    """An extender gave no answer that can be used; the message is upstream's where it has one."""
