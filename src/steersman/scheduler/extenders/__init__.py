"""Extenders: servers beside the scheduler that may refuse nodes, score them, choose victims, bind.

Messages are those of kube-scheduler's extender/v1, behaviour that of pkg/scheduler/extender.go.
"""
