"""One rule per file that can keep a pod off a node; pure, one pod and one node at a time."""
