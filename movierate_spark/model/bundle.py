"""The bundle: a model folder, complete in itself, checked before anything in it is loaded.

``bundle.json`` names the sub-folder that holds the model's files and is written last, by an atomic
rename: training again into the same folder adds a sub-folder and swaps that file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.pipeline import PipelineSharedReadWrite
from pyspark.sql import DataFrame, SparkSession

from movierate_spark.config import FeatureSettings
from movierate_spark.errors import InputError
from movierate_spark.features import transformers
from movierate_spark.features.taste_tables import TasteTables, read_tables, write_tables
from movierate_spark.model import scoring
from movierate_spark.storage.digests import sha256
from movierate_spark.storage.documents import Manifest, problem_with
from movierate_spark.storage.files import as_json, entries, last_change, remove_if_empty, replace_text
from movierate_spark.storage.folders import check_folder
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.run_records import library_versions
from movierate_spark.storage.tables import pattern_of

MANIFEST = "bundle.json"
PIPELINE, TASTE = "pipeline", "taste"
STAGES = "stages"
UID = "[A-Za-z][A-Za-z0-9]*_[0-9a-f]{12}"
"""A stage's name of Spark's making: nothing in it leads out of the folder of stages."""
PIPELINE_CLASS = "pyspark.ml.pipeline.PipelineModel"
STAGE_CLASSES = {
    *(f"{stage.__module__}.{stage.__qualname__}" for stage in transformers.SAVED),
    "org.apache.spark.ml.feature.StringIndexerModel",
    "org.apache.spark.ml.feature.OneHotEncoderModel",
    "org.apache.spark.ml.feature.VectorAssembler",
    "org.apache.spark.ml.classification.LogisticRegressionModel",
}


@dataclass(frozen=True)
class Bundle:
    """A fitted pipeline and what ``bundle.json`` says of it.

    ``manifest_sha256`` is of the bytes that ``manifest`` was parsed from; the file may be another one by now.
    """

    path: Path
    manifest: Manifest
    manifest_sha256: str

    def described(self) -> dict[str, Any]:
        """What a run record says of the model that was used."""
        named = {"model": str(self.path), "model_version": self.version}
        return named | {"bundle_sha256": self.manifest_sha256}

    @property
    def version(self) -> str:
        """The model's version, as scores carry it."""
        return self.manifest.version

    @property
    def training_end(self) -> datetime:
        """The first second (UTC) that the model has not been shown."""
        return datetime.fromisoformat(self.manifest.training.until)

    @property
    def features(self) -> FeatureSettings:
        """How the rows that the pipeline reads are made."""
        return self.manifest.features

    @cached_property
    def pipeline(self) -> PipelineModel:
        """The Spark ML pipeline from joined rows to log odds; loaded once.

        Raises:
            InputError: its files have changed since the bundle was opened.
        """
        return load_pipeline(self.path, self.manifest)

    @cached_property
    def tables(self) -> TasteTables | None:
        """What the taste columns are computed with; loaded once. None for a model without these columns.

        Raises:
            InputError: its files have changed since the bundle was opened.
        """
        if not self.features.uses_taste:
            return None
        folder = _check(self.path, self.manifest).parent / TASTE
        return read_tables(SparkSession.active(), folder, kept=self.features.neighbours_max)

    def transform(self, rows: DataFrame) -> DataFrame:
        """The rows with the pipeline's columns.

        Raises:
            InputError: a column that the pipeline was fitted on is missing or of another type.
        """
        types = dict(rows.dtypes)
        for name, kind in self.manifest.signature.items():
            if types.get(name) != kind:
                raise InputError(
                    f"{self.path}: it reads {name} ({kind}), and the rows have"
                    f" {types.get(name, 'no such column')}: prepare the lake again, or train again",
                    argument="model",
                )
        return self.pipeline.transform(rows)

    def predict(self, lake: Lake, pairs: DataFrame, *, reasons: int = 5) -> DataFrame:
        """How likely the user of each pair is to like the movie: see :mod:`movierate_spark.model.scoring`.

        Raises:
            InputError: the lake has other columns than the bundle was fitted on.
        """
        return scoring.predict(self, lake, pairs, reasons=reasons)

    @property
    def model(self) -> LogisticRegressionModel:
        """The pipeline's last stage."""
        return cast("LogisticRegressionModel", self.pipeline.stages[-1])


def is_version(name: str) -> bool:
    """Whether a folder is named like a bundle's version."""
    return re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{8}", name) is not None


def save_bundle(
    path: Path, pipeline: PipelineModel, content: Mapping[str, Any], *, tables: TasteTables | None = None
) -> Bundle:
    """Write the pipeline into a sub-folder of its own, then ``bundle.json``; nothing stays if that fails.

    ``content`` is the manifest's but for the version, the libraries' versions and the files.
    What another training has put there meanwhile does stay, and so does what ``bundle.json`` names already.
    The folder that it named before is touched, which tells :func:`replaced_at` when it was replaced.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    unnamed = Manifest.new(**content, version="", folder="", files={}, libraries=library_versions())
    digest = sha256(as_json(unnamed.content()).encode())
    version = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{digest[:8]}"
    folder = path / version
    folder.mkdir(parents=True)  # fails where the folder is another training's
    try:
        pipeline.write().save(str(folder / PIPELINE))
        if tables is not None:
            write_tables(tables, folder / TASTE)
        files = digests(path, folder)
        manifest = unnamed.model_copy(update={"version": version, "folder": version, "files": files})
        text = as_json(manifest.content())
        _touch_named(path)
        replace_text(path / MANIFEST, text)
    except BaseException:
        if not _may_be_named(path, version):
            shutil.rmtree(folder, ignore_errors=True)
            remove_if_empty(made)
        raise
    return Bundle(path, manifest, sha256(text.encode()))


def replaced_at(path: Path) -> dict[str, float]:
    """When each version's folder was replaced, in seconds of the epoch, at the latest; not the current one's.

    That is when it was touched, or when the version after it was written or, where that is the current one,
    published. A folder that was never published is as old as its last change.

    Raises:
        OSError: ``bundle.json`` can't be read.
    """
    manifest = path / MANIFEST
    current = json.loads(manifest.read_text(encoding="utf-8"))["folder"]
    versions = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and is_version(entry.name))
    changed = {name: last_change(path / name) for name in versions}
    began = {name: manifest.stat().st_mtime if name == current else changed[name] for name in versions}
    return {
        name: max(changed[name], *(began[later] for later in versions[i + 1 : i + 2]), 0.0)
        for i, name in enumerate(versions)
        if name != current
    }


def _may_be_named(path: Path, version: str) -> bool:
    """Whether ``bundle.json`` names a version, or can't be read for now: then nothing may be removed."""
    try:
        return bool(json.loads((path / MANIFEST).read_text(encoding="utf-8"))["version"] == version)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _touch_named(path: Path) -> None:
    """Mark the folder that ``bundle.json`` names as in use until now."""
    named = _named_version(path)
    if named is not None and is_version(named):
        with suppress(OSError):
            os.utime(path / named)


def _named_version(path: Path) -> str | None:
    """The version that ``bundle.json`` names; None where it can't be read."""
    try:
        return str(json.loads((path / MANIFEST).read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def digests(path: Path, folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder`` but Hadoop's ``.*.crc``, by its path below ``path``."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and not _is_checksum(file))
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def _is_checksum(file: Path) -> bool:
    return file.name.startswith(".") and file.suffix == ".crc"


def open_bundle(path: Path) -> Bundle:
    """The bundle at ``path``; no model file is loaded before all of them have been checked.

    Raises:
        InputError: no bundle lies there, or it is not what ``bundle.json`` says.
    """
    try:
        content = (path / MANIFEST).read_bytes()
        manifest = Manifest.parse(content)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no bundle there ({MANIFEST} is missing): run train", argument="model"
        ) from error
    except (OSError, ValueError) as error:
        problem = problem_with(error)
        raise InputError(
            f"{path}: {MANIFEST} can't be read ({problem}): train again", argument="model"
        ) from error
    _check(path, manifest)
    return Bundle(path, manifest, sha256(content))


def load_pipeline(path: Path, manifest: Manifest) -> PipelineModel:
    """The pipeline, checked once more, as its files may have changed since the bundle was opened.

    Raises:
        InputError: the files are not what ``bundle.json`` says.
    """
    return PipelineModel.load(pattern_of(_check(path, manifest)))


def _check(path: Path, manifest: Manifest) -> Path:
    """Where the pipeline lies, when all that loading it would read is what was published, and ours."""
    folder = path / manifest.folder
    for entry in (folder, *sorted(folder.rglob("*"))):
        if entry.is_symlink():
            raise _stranger(path, f"its files lie behind {entry.relative_to(path)}, a symbolic link")
    if not is_version(folder.name) or folder.parent != path or digests(path, folder) != manifest.files:
        raise InputError(
            f"{path}: its files are not those that were published: train again", argument="model"
        )
    _check_classes(path, folder / PIPELINE)
    return folder / PIPELINE


def _check_classes(path: Path, pipeline: Path) -> None:
    """Refuse what Spark ML would import to load the pipeline, but for the classes that we save.

    Digests tell a damaged bundle; who can write the folder can write new digests, too. The stages are those
    that the loader would go to, which follows the uids in the pipeline's metadata.
    """
    _check_class(path, pipeline, {PIPELINE_CLASS})
    uids = _stage_uids(pipeline)
    for place, uid in enumerate(uids):
        if not re.fullmatch(UID, uid):
            raise _stranger(path, f"loading it would look for a stage called {uid!r}")
        folder = PipelineSharedReadWrite.getStagePath(uid, place, len(uids), str(pipeline / STAGES))
        _check_class(path, Path(folder), STAGE_CLASSES)


def _check_class(path: Path, stage: Path, allowed: Set[str]) -> None:
    name = str(_metadata(stage).get("class", "who knows what"))
    if name not in allowed:
        raise _stranger(path, f"loading {stage.relative_to(path)} would run {name}")


def _stranger(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: {what}, which no bundle of ours holds: do not use it, and train again",
        argument="model",
    )


def _stage_uids(pipeline: Path) -> list[str]:
    try:
        return [str(uid) for uid in _metadata(pipeline)["paramMap"]["stageUids"]]
    except (KeyError, TypeError):
        return [""]  # which no stage is called


def _metadata(stage: Path) -> dict[str, Any]:
    """What the loader reads first of a stage; empty where that is not told by a single line.

    Of the names that look hidden Spark does read some, ``_a=b`` for one: none but its own is passed over.
    """
    try:
        parts = [file for file in (stage / "metadata").iterdir() if not _is_of_hadoop(file)]
        (line,) = [line for file in parts for line in file.read_text(encoding="utf-8").splitlines()]
        found = json.loads(line)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_of_hadoop(file: Path) -> bool:
    return file.name == "_SUCCESS" or _is_checksum(file)


def check_model_folder(path: Path) -> None:
    """Refuse a folder that holds anything but bundles; a killed training leaves one without a manifest.

    Raises:
        InputError: the path is a file, or a folder with other content.
    """
    ours = set(entries(path)) if (path / MANIFEST).is_file() else set(filter(is_version, entries(path)))
    check_folder(path, "model", ours)
