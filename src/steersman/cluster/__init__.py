"""The only place where the parts are put together: the server, and the node agent."""
