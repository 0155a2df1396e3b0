"""The cluster's DNS: names of Services and endpoints out of views; all others are forwarded."""
