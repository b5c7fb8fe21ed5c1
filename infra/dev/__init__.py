"""What only developers run: finding tools, tending lock files, generated documentation."""
