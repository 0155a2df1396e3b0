"""OCI images: content store, layers, registry client, archives and the Containerfile builder.

Not here: running anything (a runner is passed in) and mounting (the runtime does that). One rule:
nothing from an image, archive or registry is trusted: names, sizes and digests are checked.
"""
