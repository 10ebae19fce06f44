"""The lab: real Kubernetes control planes on this machine, and the closed vendor parts played (see lab/README.md)."""
