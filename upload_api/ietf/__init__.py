"""Resumable Uploads for HTTP, the IETF's draft: a second dialect over the same uploads."""
