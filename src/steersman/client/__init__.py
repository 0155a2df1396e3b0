"""How parts meet the API: `Client`, a followed copy (`View`), and kubeconfig files."""
