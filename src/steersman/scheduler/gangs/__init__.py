"""Gangs: groups of pods of which enough are bound together, or none (record 24).

The API is that of scheduler-plugins' Coscheduling (PodGroup of scheduling.x-k8s.io), whose
definition an administrator installs. Nothing is held for a group that is not complete.
"""
