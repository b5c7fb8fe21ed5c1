"""Configurations of caches in front of the origin (nginx, Varnish), and what purges them."""
