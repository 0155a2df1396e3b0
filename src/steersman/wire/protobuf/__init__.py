"""Protocol Buffers: fields, the objects of the API over its schema, documents of OpenAPI."""
