"""Device plugins: what they offer, which container has which of their devices, and what these need
of its container (kubelet's cm/devicemanager)."""
