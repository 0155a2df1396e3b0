"""The scheduler `flow`: pending pods and nodes as one min-cost max-flow problem (Firmament, 2016).

Chosen per pod by `schedulerName: flow`. What may run where is said by the same filters as for other
pods; what it costs, by the pods' annotations.
"""
