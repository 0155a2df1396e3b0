"""The options of the API server, by upstream's names: read and checked before anything starts."""
