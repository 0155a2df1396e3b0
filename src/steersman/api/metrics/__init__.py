"""The resource metrics API (metrics.k8s.io): what nodes and pods use, asked of nodes on demand."""
