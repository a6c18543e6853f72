"""What is remembered: SQLite rows and content-addressed blobs."""
