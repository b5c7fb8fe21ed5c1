"""The command line: one module per group of verbs. Exit codes: 0 done or ready, 1 refused, 2 our failure or unreachable."""
