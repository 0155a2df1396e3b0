"""The node agent: makes the pods bound to its node run, and says how they are."""
