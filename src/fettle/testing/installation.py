"""A home folder with a tiny base model and two tiny custom models, as pulling and tuning would have made it."""

import json
from pathlib import Path

from fettle.registry.custom_models import CustomModels
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.artifacts import ArtifactStore
from fettle.store.database import Database
from fettle.store.repository import Repository
from fettle.testing.models import tiny_adapter, tiny_model
from fettle.types.resources import CustomModel, TuningJob
from fettle.types.tuning import TuningSpec

BASE = "tiny"
CUSTOM = {"red": ("lora", "lora"), "blue": ("tfew", "ia3")}
"""Custom model -> method and adapter kind."""


def tiny_installation(home: Path, *, context: int = 256) -> Path:
    """Make `home` hold the base model BASE and the custom models CUSTOM; returns it.

    Args:
        home: is made if it is not there.
        context: tokens that the model can see.
    """
    settings = Settings(home=home)
    folder = tiny_model(home / "made" / BASE, max_position_embeddings=context)
    with Platform(settings) as platform:
        platform.base_models.pull(folder, BASE)
        for seed, (name, (method, kind)) in enumerate(CUSTOM.items(), start=1):
            tiny_version(platform, name, method, kind, seed)
    return home


def tiny_version(platform: Platform, name: str, method: str, kind: str, seed: int) -> CustomModel:
    """Register a random adapter on BASE as the next version of a custom model.

    Args:
        platform: of an installation that `tiny_installation` made.
        name: of the custom model.
        method: that is said to have tuned it.
        kind: of the adapter.
        seed: of its parameters.
    """
    home = platform.settings.home
    adapter = tiny_adapter(home / "made" / f"{name}-{seed}", kind, home / "made" / BASE, seed)
    job = platform.tuning_jobs.create(TuningSpec(base=BASE, method=method, name=name), _rows(home / "made"))
    return _register(platform.settings, job, adapter, kind)


def _rows(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    rows = [{"prompt": f"say {word}", "completion": word} for word in ("one", "two", "three", "four")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _register(settings: Settings, job: TuningJob, adapter: Path, kind: str) -> CustomModel:
    """Record an adapter as what a job has made."""
    database = Database.open(settings.database)
    repository = Repository(database)
    registry = CustomModels(repository, ArtifactStore(settings.home / "artifacts", repository, settings.artifacts_url))
    try:
        running = repository.move(TuningJob, job.id, "running")
        return registry.finish(registry.begin(running, adapter, kind=kind, prompt_format="prompt", metrics={}))
    finally:
        database.close()
