"""What exists: kinds, the schema, quantities, selectors, patches, field ownership, errors.

Pure values and functions; no I/O but reading the packed schema. Imports msgspec and nothing else.
"""
