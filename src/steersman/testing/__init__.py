"""What tests of users import: invariants of a cluster, and a cluster for each test."""
