"""What is new: commits, releases."""
