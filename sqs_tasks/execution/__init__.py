"""What happens to a received message: from intake to settlement."""
