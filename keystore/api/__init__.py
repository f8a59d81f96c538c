"""What the project's own apps call: consumers and keys, and outgoing hooks."""
