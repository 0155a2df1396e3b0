"""The Container Device Interface: files of vendors that say what a container needs in order to use
a device (CDI specification 0.3 to 1.0)."""
