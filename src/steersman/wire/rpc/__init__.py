"""Messages of gRPC services: a table of fields for each service, and what reads and writes them."""
