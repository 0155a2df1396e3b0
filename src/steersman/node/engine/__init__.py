"""What runs pods for the agent: an interface, and our own engine behind it."""
