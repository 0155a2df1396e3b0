"""`steer nodes`: nodes without a machine, made and removed on a running cluster."""
