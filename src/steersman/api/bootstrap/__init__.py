"""What every new cluster holds: roles, bindings, namespaces, priorities, flow control; as data."""
