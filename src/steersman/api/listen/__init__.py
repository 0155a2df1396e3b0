"""How requests come in: listeners, connections, TLS and the certificates for it."""
