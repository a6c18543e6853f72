"""What people read: mails, pages, logs, JSON. Reads the model, runs nothing."""
