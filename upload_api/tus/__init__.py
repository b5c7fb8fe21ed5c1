"""tus 1.0.0. `protocol`, `metadata` and `parts` decide; `body`, `leases` and `store` move bytes; `completion` ends an
upload in steps that may be repeated; `routes` is the shell."""
