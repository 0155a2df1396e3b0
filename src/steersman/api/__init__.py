"""The API server: from a request's bytes through the one pipeline to the store, and back."""
