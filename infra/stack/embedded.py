"""Settings of a stack whose parts we start ourselves: addresses and passwords that its state folder remembers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from infra.setting_texts import variable
from infra.settings import Configured, Settings, StoreKind
from infra.stack import parts
from infra.stack.state import Remembered, StateDir, recall
from storage.errors import NotFound

_KEY_ID = "state"


def with_embedded(
    settings: Settings, state: StateDir, remembered: Remembered, *, valkey: bool, seaweedfs: bool
) -> Settings:
    """``settings`` with what is ours: of ``valkey`` and ``seaweedfs`` if we start them, and of keys. Those that the
    operator sets come first; ours still open what was sealed and signed before."""
    settings = dataclasses.replace(
        settings,
        scratch_dir=settings.scratch_dir or state.root / "scratch",
        signing_keys=(*settings.signing_keys, f"{_KEY_ID}:{remembered.signing_key}"),
        sealing_keys=(*settings.sealing_keys, f"{_KEY_ID}:{remembered.sealing_key}"),
    )
    if valkey:
        settings = dataclasses.replace(settings, broker_url=parts.broker_url(remembered))
    if seaweedfs:
        settings = dataclasses.replace(
            settings,
            s3_endpoint=parts.s3_endpoint(remembered),
            s3_access_key=remembered.s3_access_key,
            s3_secret_key=remembered.s3_secret_key,
        )
    return settings


def settings_of(env: Mapping[str, str], state_dir: Path | None = None) -> Settings:
    """For verbs that look into database and store themselves: the settings in ``env``, with those of the stack in
    ``state_dir``. Without one, the default folder is meant, unless ``env`` names a database: then that is the system."""
    if state_dir is not None:
        env = {key: value for key, value in env.items() if key != variable("database_url")}
        env = {**env, variable("state_dir"): str(state_dir)}
    configured = Configured.from_env(env)
    settings, given = configured.settings, configured.given
    state = StateDir(root=settings.state_dir)
    if "database_url" not in given and not state.root.is_dir():
        # Whoever opens a database or a store that is not there makes one.
        raise NotFound(f"There is no state folder {state.root}: name one with --state-dir DIR.")
    remembered = None if "database_url" in given else recall(state)
    if remembered is None:
        return settings
    store = StoreKind(remembered.store)
    return with_embedded(
        dataclasses.replace(settings, store=store),
        state,
        remembered,
        valkey="broker_url" not in given and "valkey" in remembered.ports,
        seaweedfs=store is StoreKind.S3 and "s3_endpoint" not in given,
    )
