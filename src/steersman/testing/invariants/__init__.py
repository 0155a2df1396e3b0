"""What must hold of a cluster: after every commit (in the simulation), and of its state at any
time (`steer debug lint`).
"""
