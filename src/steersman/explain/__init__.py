"""Why an object is not as wanted: the chain of causes from it to what has to change.

Pure functions over documents that were read from the API, so that it works on any cluster a
kubeconfig leads to; where nodes refuse a pod, the scheduler's own filters are asked. Reads alone,
writes nothing. Rule: what is not known is said to be not known.
"""
