"""In-place resize (KEP-1287): what a pod asks for, what the node grants, what its groups have."""
