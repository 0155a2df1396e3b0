"""Dynamic resource allocation on the node: drivers make ready what was allocated to the claims of a
pod, before it begins, and take it back after it has ended (kubelet's cm/dra)."""
