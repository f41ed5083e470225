"""The bundle: a model folder, complete in itself, checked before anything in it is loaded.

``bundle.json`` names the sub-folder that holds the model's files and is written last, by an atomic
rename: training again into the same folder adds a sub-folder and swaps that file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

from pyspark.ml import PipelineModel

from movierate_spark.config import FeatureSettings
from movierate_spark.errors import InputError
from movierate_spark.tables import replace_json

MANIFEST = "bundle.json"
PIPELINE = "pipeline"
LIBRARIES = ("movierate-spark", "pyspark", "numpy", "pyarrow", "pandas", "deltalake")
REQUIRED = (
    "version",
    "folder",
    "files",
    "training",
    "label",
    "features",
    "threshold",
    "calibration",
    "feature_names",
)


@dataclass(frozen=True)
class Bundle:
    """A fitted pipeline and what ``bundle.json`` says of it."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def version(self) -> str:
        """The model's version, as scores carry it."""
        return str(self.manifest["version"])

    @property
    def training_end(self) -> datetime:
        """The first second (UTC) that the model has not been shown."""
        return datetime.fromisoformat(self.manifest["training"]["until"])

    @property
    def features(self) -> FeatureSettings:
        """How the rows that the pipeline reads are made."""
        return FeatureSettings.model_validate(self.manifest["features"])

    def pipeline(self) -> PipelineModel:
        """The Spark ML pipeline from joined rows to log odds."""
        return PipelineModel.load(str(self.path / self.manifest["folder"] / PIPELINE))


def check_free(path: Path) -> None:
    """Refuse a model path that holds anything but bundles.

    Raises:
        InputError: the path is a file, or a folder with other content.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"--model {path} is a file: name a new folder, or a bundle's")
    if path.is_dir() and any(path.iterdir()) and not (path / MANIFEST).is_file():
        first = min(entry.name for entry in path.iterdir())
        raise InputError(f"--model {path} holds something else ({first}): name a new folder, or a bundle's")


def save_bundle(path: Path, pipeline: PipelineModel, manifest: Mapping[str, Any]) -> Bundle:
    """Write the pipeline into a sub-folder of its own, then ``bundle.json``; nothing stays if that fails."""
    is_new = not path.exists()
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    version = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{digest[:8]}"
    folder = path / version
    try:
        pipeline.write().save(str(folder / PIPELINE))
        whole = {
            "version": version,
            "folder": version,
            **manifest,
            "libraries": {name: library_version(name) for name in LIBRARIES},
            "files": digests(path, folder),
        }
        replace_json(path / MANIFEST, whole)
    except BaseException:
        shutil.rmtree(path if is_new else folder, ignore_errors=True)
        raise
    return Bundle(path, whole)


def digests(path: Path, folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder`` but Hadoop's ``.crc``, by its path below ``path``."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix != ".crc")
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def open_bundle(path: Path) -> Bundle:
    """The bundle at ``path``; no model file is loaded before all of them have been checked.

    Raises:
        InputError: no bundle lies there, or it is not what ``bundle.json`` says.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        missing = [key for key in REQUIRED if key not in manifest]
        folder = path / str(manifest["folder"])
        FeatureSettings.model_validate(manifest["features"])
    except FileNotFoundError as error:
        raise InputError(f"--model {path}: no bundle there ({MANIFEST} is missing): run train") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--model {path}: {MANIFEST} can't be read: train again") from error
    if missing:
        raise InputError(f"--model {path}: {MANIFEST} lacks {', '.join(missing)}: train again")
    if folder.parent != path or digests(path, folder) != manifest["files"]:
        raise InputError(f"--model {path}: its files are not those that were published: train again")
    return Bundle(path, manifest)
