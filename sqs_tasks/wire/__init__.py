"""What travels: values as JSON, and arguments as a signature wants them."""
