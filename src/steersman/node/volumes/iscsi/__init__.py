"""iscsi: units of targets by the machine's iscsiadm, and the file systems on them."""
