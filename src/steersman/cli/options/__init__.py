"""Options by upstream's names of controllers, scheduler and node; the server's: `cli.apiserver`."""
