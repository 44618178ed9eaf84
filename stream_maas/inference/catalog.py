"""Which models this process serves, and under which name a request finds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_maas.errors import BundleError, UnknownModelError
from stream_maas.inference.bundle import MANIFEST, inspect, load_bundle
from stream_maas.inference.config import RuntimeConfig
from stream_maas.inference.model import Model, open_model
from stream_maas.inference.session import runtime_info

PACKAGED = Path(__file__).parent.parent / "models"
"""Bundles that ship with the package."""
DEFAULT_BUNDLE = PACKAGED / "sentiment-lite"


Meter = Callable[[], tuple[int, int]]
"""(monotonic nanoseconds, bytes of resident memory): what loading costs is measured by whoever may look at both."""
Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Path, size, modification time and inode of every file of a bundle: whether it has to be read again."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One bundle folder as it was read, and what it cost."""

    model: Model
    fingerprint: Fingerprint
    load_us: int
    memory_bytes: int
    """Growth of resident memory while it was loaded; an estimate."""


class Catalog:
    """The loaded models. Unchanged for its lifetime: a swap builds another catalog beside it."""

    def __init__(self, loaded: Mapping[Path, Loaded], failures: Mapping[str, str], config: RuntimeConfig) -> None:
        self.loaded = loaded
        models = tuple(each.model for each in loaded.values())
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
    def load(cls, config: RuntimeConfig, *, previous: Catalog | None = None, meter: Meter | None = None) -> Catalog:
        """Load `config.models`: bundles, or folders of bundles; empty means the packaged sentiment-lite.

        A bundle that fails leaves the others serving. With `previous`, bundles whose files did not change are taken
        over as they are, and a bundle that cannot be loaded any more goes on serving as it was last read, as long as
        its folder is there. Raises `BundleError` when nothing at all could be loaded.
        """
        before = previous.loaded if previous is not None else {}
        loaded: dict[Path, Loaded] = {}
        failures: dict[str, str] = {}
        for directory in _directories(config.models, failures):
            known = before.get(directory)
            try:
                unchanged = known is not None and known.fingerprint == fingerprint(directory)
                fresh = known if known is not None and unchanged else _load(directory, config, meter)
            except BundleError as error:
                failures[str(directory)] = str(error)
                if known is None:
                    continue
                fresh = known
            twin = next((path for path, each in loaded.items() if _same_name(each.model, fresh.model)), None)
            if twin is not None:
                failures[str(directory)] = f"{directory}: same name and version as {twin}"
                continue
            loaded[directory] = fresh
        if not loaded:
            raise BundleError("no model could be loaded: " + "; ".join(failures.values()))
        return cls(loaded, failures, config)

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


def fingerprints(config: RuntimeConfig) -> dict[Path, Fingerprint]:
    """What stands in the configured bundle folders now, without opening a file. A bundle that vanishes meanwhile has
    an empty fingerprint."""
    found = {}
    for directory in _directories(config.models, {}):
        try:
            found[directory] = fingerprint(directory)
        except BundleError:
            found[directory] = ()
    return found


def fingerprint(directory: Path) -> Fingerprint:
    """The files of one bundle folder. Raises `BundleError` when it cannot be read."""
    try:
        states = [(path, path.stat()) for path in sorted(directory.rglob("*"))]
    except OSError as error:
        raise BundleError(f"{directory}: cannot be read ({type(error).__name__})") from error
    return tuple((str(path), state.st_size, state.st_mtime_ns, state.st_ino) for path, state in states)


def _load(directory: Path, config: RuntimeConfig, meter: Meter | None) -> Loaded:
    """Read, check, open and try one bundle. Raises `BundleError`, also when its files changed meanwhile: what was
    hashed and what was opened have to be the same."""
    before = fingerprint(directory)
    started_ns, resident_bytes = meter() if meter is not None else (0, 0)
    clock = (lambda: meter()[0]) if meter is not None else None
    model = open_model(load_bundle(directory, config.licences), config, clock)
    ended_ns, grown_bytes = meter() if meter is not None else (0, 0)
    if fingerprint(directory) != before:
        raise BundleError(f"{directory}: changed while it was loaded")
    return Loaded(model, before, (ended_ns - started_ns) // 1000, max(0, grown_bytes - resident_bytes))


def _same_name(one: Model, other: Model) -> bool:
    return (one.ref.name, one.ref.version) == (other.ref.name, other.ref.version)


def check(directory: Path, config: RuntimeConfig | None = None) -> list[str]:
    """What `model check` prints: every problem that keeps `directory` from being served. Empty: it can be served."""
    config = config or RuntimeConfig()
    bundle, found = inspect(directory, config.licences)
    problems = [f"{directory}/{problem}" for problem in found]
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
