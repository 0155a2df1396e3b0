"""The functions of the language, one module for each of the libraries that Kubernetes loads."""
