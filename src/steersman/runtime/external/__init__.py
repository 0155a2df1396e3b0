"""Containers of a pod that another OCI runtime makes (runc, crun, by its path): the sandbox, the
streams and the log stay the shim's, the program makes, starts and deletes what is in it.
"""
