"""The application: all verbs together, and the way out of them."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, cast

import typer
from typer.rich_utils import rich_format_error

from infra.cli import audit, check, files, importing, inside, keys, playback, reseal, services, stack, uploads, videos
from infra.cli.console import DONE, FAILED, INTERRUPTED, REFUSED, exit_code, note, tell
from storage.errors import FishladderError

app = typer.Typer(
    name="fishladder",
    help="An open video pipeline: resumable uploads in, adaptive HLS and DASH out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for module in (stack, uploads, importing, files, check, videos, playback, keys, inside, audit, reseal, services):
    module.register(app)


def main() -> None:
    """The ``fishladder`` program."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except typer.TyperException as error:  # a wrong flag or argument: we refuse
        rich_format_error(cast(Any, error))  # its signature names a private class
        sys.exit(REFUSED)
    except FishladderError as error:
        tell(error)
        sys.exit(exit_code(error))
    except (KeyboardInterrupt, typer.Abort):
        note("Stopped.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except Exception:  # a bug of ours: all of it is shown, and it is not the caller's fault
        traceback.print_exc()
        sys.exit(FAILED)
    sys.exit(code or DONE)
