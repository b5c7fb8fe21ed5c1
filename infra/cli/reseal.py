"""``reseal``: content keys under another sealing key. For operators: it looks into the database itself."""

from __future__ import annotations

import typer

from infra.cli.console import examples, print_json, say
from infra.cli.inside import Json, State, of_state
from storage.errors import InvalidRequest

_AT_ONCE = 500


def register(app: typer.Typer) -> None:
    app.command(epilog=examples("FISHLADDER_SEALING_KEYS=new:…,old:… fishladder reseal"))(reseal)


def reseal(state_dir: State = None, as_json: Json = False) -> None:
    """Seal all content keys with the first of FISHLADDER_SEALING_KEYS; afterwards the others are no longer needed."""
    from infra.composition import open_catalogue, sealing_ring

    ours = of_state(state_dir)
    ring = sealing_ring(ours)
    if ring.sealing_id is None:
        raise InvalidRequest("There is no sealing key: set FISHLADDER_SEALING_KEYS, the new one first.")
    catalogue = open_catalogue(ours)
    done = 0
    try:
        catalogue.check()
        while waiting := catalogue.keys_not_sealed_by(ring.sealing_id, _AT_ONCE):
            done += sum(catalogue.replace_seal(asset, key, ring.reseal(key, asset)) for asset, key in waiting)
    finally:
        catalogue.close()
    if as_json:
        print_json({"resealed": done, "sealed_by": ring.sealing_id})
    else:
        say(f"{done} keys were sealed anew; all are sealed by {ring.sealing_id} now.")
