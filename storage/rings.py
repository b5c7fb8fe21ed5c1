"""Secrets as settings give them: rings of keys, each with an id, so that they can be changed one after the other."""

from __future__ import annotations


def secrets_by_id(pairs: tuple[str, ...]) -> dict[str, bytes]:
    """From ``id:hexadecimal`` pairs, in their order. Raises `ValueError`."""
    return {key_id: bytes.fromhex(secret) for key_id, _, secret in (pair.partition(":") for pair in pairs)}
