"""One file per built-in kind: its view, prepare, check and columns, composed into a `Kind`."""
