"""What the acceptance tests use: lab and playbooks as a user starts them, and eyes of their own on the clusters."""
