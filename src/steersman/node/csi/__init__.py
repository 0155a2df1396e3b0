"""Volumes of CSI drivers on the node: drivers, attachments, what is staged and published."""
