"""What this machine and its pods use, read when somebody asks, and said in kubelet's forms."""
