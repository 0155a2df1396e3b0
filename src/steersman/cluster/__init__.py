"""The only place where the parts are put together: server, control loops, node agent."""
