"""Support for the acceptance tests: starts lab and playbooks like a user, and inspects the clusters independently."""
