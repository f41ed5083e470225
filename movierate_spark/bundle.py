"""The bundle: a model folder, complete in itself, checked before anything in it is loaded.

``bundle.json`` names the sub-folder that holds the model's files and is written last, by an atomic
rename: training again into the same folder adds a sub-folder and swaps that file.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.sql import DataFrame

from movierate_spark.config import FeatureSettings
from movierate_spark.digests import digest_of
from movierate_spark.errors import InputError
from movierate_spark.features import transformers
from movierate_spark.files import remove_if_empty, replace_json
from movierate_spark.runs import library_versions

MANIFEST = "bundle.json"
PIPELINE = "pipeline"
PIPELINE_CLASS = "pyspark.ml.pipeline.PipelineModel"
STAGE_CLASSES = {
    *(f"{stage.__module__}.{stage.__qualname__}" for stage in transformers.SAVED),
    "org.apache.spark.ml.feature.StringIndexerModel",
    "org.apache.spark.ml.feature.OneHotEncoderModel",
    "org.apache.spark.ml.feature.VectorAssembler",
    "org.apache.spark.ml.classification.LogisticRegressionModel",
}
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
    "signature",
    "coefficients",
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

    @cached_property
    def pipeline(self) -> PipelineModel:
        """The Spark ML pipeline from joined rows to log odds; loaded once."""
        return PipelineModel.load(str(self.path / self.manifest["folder"] / PIPELINE))

    def transform(self, rows: DataFrame) -> DataFrame:
        """The rows with the pipeline's columns.

        Raises:
            InputError: a column that the pipeline was fitted on is missing or of another type.
        """
        found = dict(rows.dtypes)
        for name, kind in self.manifest["signature"].items():
            if found.get(name) != kind:
                raise InputError(
                    f"--model {self.path}: it reads {name} ({kind}), and the rows have"
                    f" {found.get(name, 'no such column')}: prepare the lake again, or train again"
                )
        return self.pipeline.transform(rows)

    @property
    def model(self) -> LogisticRegressionModel:
        """The pipeline's last stage."""
        return cast("LogisticRegressionModel", self.pipeline.stages[-1])


def model_input(path: Path) -> dict[str, Any]:
    """What a run record says of the model that was used; only its place where none can be read."""
    manifest = path / MANIFEST
    try:
        version = json.loads(manifest.read_text(encoding="utf-8")).get("version")
    except (OSError, ValueError, AttributeError):  # opening it will say what is wrong
        return {"model": str(path)}
    return {"model": str(path), "model_version": version, "bundle_sha256": digest_of(manifest)}


def is_version(name: str) -> bool:
    """Whether a folder is named like a bundle's version."""
    return re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{8}", name) is not None


def save_bundle(path: Path, pipeline: PipelineModel, manifest: Mapping[str, Any]) -> Bundle:
    """Write the pipeline into a sub-folder of its own, then ``bundle.json``; nothing stays if that fails.

    What another training has put there meanwhile does stay, and so does what ``bundle.json`` names already.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    version = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{digest[:8]}"
    folder = path / version
    folder.mkdir(parents=True)  # fails where the folder is another training's
    try:
        pipeline.write().save(str(folder / PIPELINE))
        whole = {
            "version": version,
            "folder": version,
            **manifest,
            "libraries": library_versions(),
            "files": digests(path, folder),
        }
        replace_json(path / MANIFEST, whole)
    except BaseException:
        if model_input(path).get("model_version") != version:
            shutil.rmtree(folder, ignore_errors=True)
            remove_if_empty(made)
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
    _check_classes(path, folder / PIPELINE)
    return Bundle(path, manifest)


def _check_classes(path: Path, pipeline: Path) -> None:
    """Refuse what Spark ML would import to load the pipeline, but for the classes that we save.

    Digests tell a damaged bundle; who can write the folder can write new digests, too.
    """
    for metadata in sorted(folder for folder in pipeline.rglob("metadata") if folder.is_dir()):
        name = _class_named_in(metadata)
        if name not in ({PIPELINE_CLASS} if metadata.parent == pipeline else STAGE_CLASSES):
            raise InputError(
                f"--model {path}: loading {metadata.parent.relative_to(path)} would run"
                f" {name or 'who knows what'},"
                " which no bundle of ours holds: do not use it, and train again"
            )


def _class_named_in(metadata: Path) -> str | None:
    """The class that loading a stage imports; None where it is not told by a single line."""
    parts = [file for file in metadata.iterdir() if not file.name.startswith(("_", "."))]
    try:
        (line,) = [line for file in parts for line in file.read_text(encoding="utf-8").splitlines()]
        return str(json.loads(line)["class"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
