"""What the community's sidecars do beside a CSI driver, for drivers that opt in: provisioning,
attaching, resizing and snapshots, without sidecars."""
