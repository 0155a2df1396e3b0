"""What a node does when its machine is about to go: pods end in the order of their priority."""
