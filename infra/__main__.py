"""``python -m infra`` is ``fishladder``."""

from infra.cli.app import main

main()
