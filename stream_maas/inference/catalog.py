"""Which models this process serves, and under which name a request finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from stream_maas.errors import BundleError, UnknownModelError
from stream_maas.inference.bundle import MANIFEST, inspect, load_bundle
from stream_maas.inference.config import RuntimeConfig
from stream_maas.inference.model import Model, open_model
from stream_maas.inference.session import runtime_info

PACKAGED = Path(__file__).parent.parent / "models"
"""Bundles that ship with the package."""
DEFAULT_BUNDLE = PACKAGED / "sentiment-lite"


class Catalog:
    """The loaded models. Unchanged for its lifetime: a swap builds another catalog beside it."""

    def __init__(self, models: tuple[Model, ...], failures: Mapping[str, str], config: RuntimeConfig) -> None:
        self.models = models
        self.failures: Mapping[str, str] = failures
        """Path -> why it does not serve. For logs and readiness; clients only see `unknown_model`."""
        self.runtime: Mapping[str, str | int] = runtime_info(config)
        self._by_version = {(model.ref.name, model.ref.version): model for model in models}
        # Ascending, so that the newest version of a name is what remains.
        newest = {model.ref.name: model for model in sorted(models, key=lambda model: _version_key(model.ref.version))}
        self._by_name: Mapping[str, Model] = newest
        only = next(iter(newest)) if len(newest) == 1 else None
        self._default = config.default_model or only

    @classmethod
    def load(cls, config: RuntimeConfig) -> Catalog:
        """Load `config.models`: bundles, or folders of bundles; empty means the packaged sentiment-lite.

        A bundle that fails leaves the others serving. Raises `BundleError` when nothing at all could be loaded.
        """
        models: dict[tuple[str, str], Model] = {}
        failures: dict[str, str] = {}
        for directory in _directories(config.models, failures):
            try:
                bundle = load_bundle(directory, config.licences)
                model = open_model(bundle, config)
            except BundleError as error:
                failures[str(directory)] = str(error)
                continue
            twin = models.setdefault((model.ref.name, model.ref.version), model)
            if twin is not model:
                failures[str(directory)] = f"{directory}: same name and version as {twin.bundle.directory}"
        if not models:
            raise BundleError("no model could be loaded: " + "; ".join(failures.values()))
        return cls(tuple(models.values()), failures, config)

    def resolve(self, name: str | None, version: str | None) -> Model:
        """The model that answers. No name: the default or only one. No version: the newest.

        Raises `UnknownModelError`; what the client wrote is not repeated.
        """
        wanted = name or self._default
        if wanted is None:
            raise UnknownModelError("model_name: missing, and there is no default among the loaded models")
        model = self._by_version.get((wanted, version)) if version else self._by_name.get(wanted)
        if model is None:
            field = "model_version" if version and wanted in self._by_name else "model_name"
            raise UnknownModelError(f"{field}: this model is not loaded")
        return model


def check(directory: Path, config: RuntimeConfig | None = None) -> list[str]:
    """What `model check` prints: every problem that keeps `directory` from being served. Empty: it can be served."""
    config = config or RuntimeConfig()
    bundle, problems = inspect(directory, config.licences)
    if bundle is not None:
        try:
            open_model(bundle, config)
        except BundleError as error:
            problems.append(str(error))
    return problems


def _directories(paths: tuple[str, ...], failures: dict[str, str]) -> Iterator[Path]:
    for path in [Path(text) for text in paths] or [DEFAULT_BUNDLE]:
        if (path / MANIFEST).is_file():
            yield path
            continue
        found = sorted(file.parent for file in path.glob(f"*/{MANIFEST}"))
        if not found:
            failures[str(path)] = f"{path}: no {MANIFEST} here or one folder below"
        yield from found


def _version_key(version: str) -> list[tuple[int, int, str]]:
    """Numbers count as numbers: 1.10.0 is newer than 1.9.0."""
    parts = re.findall(r"\d+|\D+", version)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
