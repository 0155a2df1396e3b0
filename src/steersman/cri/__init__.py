"""The Container Runtime Interface: our engine for kubelets and tools of others (`steer cri`)."""
