"""One file per shared definition (PodSpec, Container, Probe): its defaults and its check."""
