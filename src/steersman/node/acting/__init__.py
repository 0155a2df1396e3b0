"""What the node does for a pod: one file for each step, thin, over runtime, images and network."""
