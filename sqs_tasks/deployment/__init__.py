"""What is deployed, and the rights it needs."""
