"""Bytes to values and back, without I/O: HTTP/1.1, WebSocket, watch frames, YAML."""
