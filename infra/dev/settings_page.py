"""Writes ``docs/reference/settings.md`` from the settings themselves. A test holds the two together."""

from __future__ import annotations

from pathlib import Path

from infra.settings import Configured, show

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"

_HEAD = """# Settings

Environment variables, read once when a service starts. `fishladder settings` lists them with their values here and now.
An unknown `FISHLADDER_*` is refused: a misspelt limit must not silently be no limit.

This page is made by `make lock` from `infra/settings.py`.

| variable | type | default | meaning |
|---|---|---|---|
"""


def render_page() -> str:
    rows = (
        f"| `{one.variable}` | {_cell(one.type)} | {f'`{_cell(one.default)}`' if one.default else ''} | {_cell(one.doc)} |"
        for one in show(Configured.from_env({}))
    )
    return _HEAD + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render_page())
