"""Parts of the machine that containers have for themselves: processors, memory, devices, and where
they lie (NUMA nodes)."""
