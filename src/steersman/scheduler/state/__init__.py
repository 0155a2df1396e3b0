"""The cluster as the scheduler sees it, kept up to date by changes; nothing is decided here."""
