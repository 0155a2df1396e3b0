"""What people see and do inside of containers through the agent's port: logs, exec, attach and
port-forward. Not what starts containers, and not the port itself (`node.serve`).
"""
