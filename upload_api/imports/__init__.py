"""Imports: the bytes of an upload, fetched from an address that somebody named.

`guard` decides where we may go, `fetching` goes there, `importer` brings home what it finds, however often it has to
set out again.
"""
