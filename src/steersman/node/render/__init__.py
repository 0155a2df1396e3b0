"""What the runtime and containers are given, rendered purely from a pod and what is known."""
