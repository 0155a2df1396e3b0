"""What a pod's volumes mean for where it may run, and the binding of its claims."""
