"""How requests come in, to the API server and to the node agent: listeners, connections, TLS and
the certificates for it.
"""
