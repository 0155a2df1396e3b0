"""Plugins of the node: found by their sockets in a folder, and registered with who uses them."""
