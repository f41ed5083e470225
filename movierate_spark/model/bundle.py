"""The bundle: a self-contained model folder, whose files are checked before they are loaded.

``bundle.json`` names the sub-folder with the model's files. It is written last, by an atomic rename. Training
again into the same folder adds a sub-folder and replaces that file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, cast

import numpy as np
from pyspark import Broadcast
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.sql import DataFrame, SparkSession

from movierate_spark.config import FeatureSettings
from movierate_spark.errors import InputError
from movierate_spark.features.taste_tables import (
    BlockTables,
    TasteTables,
    read_block,
    read_blocks,
    write_tables,
)
from movierate_spark.model import scoring
from movierate_spark.model.bundle_files import (
    PIPELINE,
    TASTE,
    changed,
    check_files,
    digests,
    is_version,
    tags_of,
)
from movierate_spark.session import broadcast
from movierate_spark.storage.digests import sha256
from movierate_spark.storage.documents import Manifest, read_document
from movierate_spark.storage.files import (
    as_json,
    claim_folder,
    entries,
    folders_below,
    last_change,
    missing_folders,
    remove_if_empty,
    remove_tree,
    replace_text,
    touch_folder,
)
from movierate_spark.storage.folders import check_folder
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.locations import Location, uri_of
from movierate_spark.storage.run_records import library_versions
from movierate_spark.storage.tables import pattern_of

MANIFEST = "bundle.json"


@dataclass(frozen=True)
class Bundle:
    """A fitted pipeline and its manifest, ``bundle.json``.

    ``manifest_sha256`` is the digest of the bytes from which ``manifest`` was parsed; the file may have been
    replaced since. ``tags`` are those of the model's files when they were checked.
    """

    path: Location
    manifest: Manifest
    manifest_sha256: str
    tags: Mapping[str, str]

    def described(self) -> dict[str, Any]:
        """The model's path, version and digest, for run records."""
        return {
            "model": str(self.path),
            "model_version": self.version,
            "bundle_sha256": self.manifest_sha256,
        }

    @property
    def version(self) -> str:
        """The model's version, as in the column ``model_version`` of scores."""
        return self.manifest.version

    @property
    def training_end(self) -> datetime:
        """The end (UTC, exclusive) of the ratings that the model was trained on."""
        return datetime.fromisoformat(self.manifest.training.until)

    @property
    def features(self) -> FeatureSettings:
        """The settings of the features that the pipeline reads."""
        return self.manifest.features

    @cached_property
    def pipeline(self) -> PipelineModel:
        """The Spark ML pipeline from feature rows to log odds; loaded at the first use.

        Raises:
            InputError: its files have changed since the bundle was opened.
        """
        folder = self._unchanged_folder()
        pipeline = PipelineModel.load(pattern_of(folder / PIPELINE))
        self._unchanged_folder()
        return pipeline

    def tables(self, since: datetime | None = None) -> TasteTables | None:
        """What the taste columns of rows from ``since`` on (None: of all) are computed with.

        None for a model without these columns.

        Raises:
            InputError: its files have changed since the bundle was opened.
        """
        if not self.features.uses_taste:
            return None
        tables = self._tables_without_blocks
        second = 0 if since is None else int(since.timestamp())
        first = max(int(tables.time_block(np.array([second]))[0]), 1)
        numbers = range(first, len(tables.begins) + 1)
        if missing := [number for number in numbers if number not in self._blocks]:
            folder, kept = self._unchanged_folder() / TASTE, self.features.neighbours_max
            for number in missing:
                block = read_block(folder, number, tables.movie_id, kept=kept)
                self._blocks[number] = broadcast(SparkSession.active(), block)
            self._unchanged_folder()
        return replace(tables, blocks={number: self._blocks[number] for number in numbers})

    @cached_property
    def _tables_without_blocks(self) -> TasteTables:
        return read_blocks(self._unchanged_folder() / TASTE)

    @cached_property
    def _blocks(self) -> dict[int, Broadcast[BlockTables]]:
        """The time blocks' taste tables that were needed until now, by number."""
        return {}

    def _unchanged_folder(self) -> Location:
        """The folder of the model's files, if they are those that were checked."""
        folder = self.path / self.manifest.folder
        if tags_of(folder) != self.tags:
            raise changed(self.path)
        return folder

    def transform(self, rows: DataFrame) -> DataFrame:
        """Add the pipeline's columns to feature rows.

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
        """How likely each user is to like the movie: see :func:`movierate_spark.model.scoring.predict`.

        Raises:
            InputError: the lake has other columns than those the bundle was fitted on.
        """
        return scoring.predict(self, lake, pairs, reasons=reasons)

    @property
    def model(self) -> LogisticRegressionModel:
        """The logistic regression: the pipeline's last stage."""
        return cast("LogisticRegressionModel", self.pipeline.stages[-1])


def save_bundle(
    path: Location, pipeline: PipelineModel, content: Mapping[str, Any], *, tables: TasteTables | None = None
) -> Bundle:
    """Write the pipeline and the taste tables into a new sub-folder, then ``bundle.json``.

    ``content`` is the manifest's without versions, folder and files. If writing fails, the sub-folder is
    removed, unless ``bundle.json`` already names it or can't be read. Files of other trainings are kept. The
    previous version's folder gets a new modification time, from which :func:`replaced_at` knows when it was
    replaced.
    """
    new_folders = missing_folders(path)
    draft = Manifest.new(**content, version="", folder="", files={}, libraries=library_versions())
    digest = sha256(as_json(draft.content()).encode())
    version = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{digest[:8]}"
    folder = path / version
    claim_folder(folder)
    try:
        pipeline.write().save(uri_of(folder / PIPELINE))
        if tables is not None:
            write_tables(tables, folder / TASTE)
        tags, files = tags_of(folder), digests(folder)
        manifest = draft.model_copy(update={"version": version, "folder": version, "files": files})
        text = as_json(manifest.content())
        _touch_named(path)
        replace_text(path / MANIFEST, text)
    except BaseException:
        if not _may_be_named(path, version):
            remove_tree(folder)
            remove_if_empty(new_folders)
        raise
    return Bundle(path, manifest, sha256(text.encode()), tags)


def replaced_at(path: Location) -> dict[str, float]:
    """The latest time (epoch seconds) at which each version was replaced, without the current version.

    It is the later of two times: the last change of the version's folder, which :func:`save_bundle` sets when
    it replaces the version; and the last change of the next version's folder or, if the next version is the
    current one, of ``bundle.json``. For the newest folder it is only the first.

    Raises:
        OSError: ``bundle.json`` can't be read.
    """
    manifest = path / MANIFEST
    current = json.loads(manifest.read_text(encoding="utf-8"))["folder"]
    versions = [name for name in folders_below(path, depth=1) if is_version(name)]
    changed = {name: last_change(path / name) for name in versions}
    published = {name: last_change(manifest) if name == current else changed[name] for name in versions}
    return {
        name: max(changed[name], *(published[later] for later in versions[i + 1 : i + 2]), 0.0)
        for i, name in enumerate(versions)
        if name != current
    }


def _may_be_named(path: Location, version: str) -> bool:
    """Whether ``bundle.json`` names the version, or can't be read now: then nothing may be removed."""
    try:
        return bool(json.loads((path / MANIFEST).read_text(encoding="utf-8"))["version"] == version)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _touch_named(path: Location) -> None:
    """Set the modification time of the folder that ``bundle.json`` names to now, as it is being replaced."""
    named = _named_version(path)
    if named is not None and is_version(named):
        touch_folder(path / named)


def _named_version(path: Location) -> str | None:
    """The version that ``bundle.json`` names; None if it can't be read."""
    try:
        return str(json.loads((path / MANIFEST).read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def open_bundle(path: Location) -> Bundle:
    """The bundle at ``path``. All its files are checked; the pipeline is loaded at the first use.

    Raises:
        InputError: there is no bundle, ``bundle.json`` can't be read, or the files do not pass the checks.
    """
    manifest, content = read_document(
        path / MANIFEST, Manifest, what="bundle", argument="model", made_by="train"
    )
    tags = tags_of(path / manifest.folder)  # before the files are read: later changes are noticed
    check_files(path, manifest)
    return Bundle(path, manifest, sha256(content), tags)


def check_model_folder(path: Location) -> None:
    """Refuse a folder with other content than bundles. A killed training leaves one without a manifest.

    Raises:
        InputError: the path is a file, or a folder with other content.
    """
    check_folder(path, "model", {MANIFEST, *filter(is_version, entries(path))})
