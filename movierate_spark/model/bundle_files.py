"""The files of a bundle's version, and their checks before anything is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from pyspark.ml.pipeline import PipelineSharedReadWrite

from movierate_spark.errors import InputError
from movierate_spark.features import transformers
from movierate_spark.storage.digests import sha256
from movierate_spark.storage.documents import Manifest
from movierate_spark.storage.files import files_below, read_all, symbolic_links
from movierate_spark.storage.locations import Location

PIPELINE, TASTE = "pipeline", "taste"
STAGES, METADATA = "stages", "metadata"
UID = "[A-Za-z][A-Za-z0-9]*_[0-9a-f]{12}"
"""The pattern of a stage's uid as Spark makes it; such a name can't lead out of the folder of stages."""
PIPELINE_CLASS = "pyspark.ml.pipeline.PipelineModel"
STAGE_CLASSES = {
    *(f"{stage.__module__}.{stage.__qualname__}" for stage in transformers.SAVED),
    "org.apache.spark.ml.feature.StringIndexerModel",
    "org.apache.spark.ml.feature.OneHotEncoderModel",
    "org.apache.spark.ml.feature.VectorAssembler",
    "org.apache.spark.ml.classification.LogisticRegressionModel",
}
Contents = Mapping[str, bytes]
"""The content of files, by their paths."""


def is_version(name: str) -> bool:
    """Whether ``name`` has the form of a bundle's version."""
    return re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{8}", name) is not None


def tags_of(folder: Location) -> dict[str, str]:
    """What changes with the content of each file below a folder."""
    return {entry.name: entry.tag for entry in files_below(folder)}


def digests(folder: Location) -> dict[str, str]:
    """SHA-256 of the files below a folder, by path with its name; without Hadoop's ``.*.crc``."""
    return {f"{folder.name}/{name}": sha256(content) for name, content in _contents(folder)}


def _contents(folder: Location) -> Iterator[tuple[str, bytes]]:
    names = [entry.name for entry in files_below(folder) if not _is_checksum(entry.name)]
    return zip(names, read_all([folder / name for name in names]), strict=True)


def _is_checksum(name: str) -> bool:
    return re.fullmatch(r"([^/]+/)*\.[^/]*\.crc", name) is not None


def check_files(path: Location, manifest: Manifest) -> None:
    """Check that the files are those in the manifest, and that loading them runs only allowed classes.

    Raises:
        InputError: a file is missing, new or changed, or the pipeline has a class that no bundle needs.
    """
    folder = path / manifest.folder
    for link in symbolic_links(folder):
        raise _stranger(path, f"its files lie behind {link}, a symbolic link")
    if not is_version(folder.name) or folder.parent != path:
        raise changed(path)
    actual, metadata = {}, {}
    for name, content in _contents(folder):
        actual[f"{folder.name}/{name}"] = sha256(content)
        if METADATA in name.split("/"):
            metadata[name] = content
    if actual != manifest.files:
        raise changed(path)
    _check_classes(path, metadata)


def changed(path: Location) -> InputError:
    """The error for files that are not those that were published or checked."""
    return InputError(f"{path}: its files are not those that were published: train again", argument="model")


def _check_classes(path: Location, metadata: Contents) -> None:
    """Refuse a pipeline for which Spark ML would import other classes than those in :data:`STAGE_CLASSES`.

    Digests find a damaged bundle, but whoever can write to the folder can also write new digests. Like
    Spark's loader, the check finds the stages by the uids in the pipeline's metadata.
    """
    _check_class(path, PIPELINE, metadata, {PIPELINE_CLASS})
    uids = _stage_uids(metadata)
    for place, uid in enumerate(uids):
        if not re.fullmatch(UID, uid):
            raise _stranger(path, f"loading it would look for a stage called {uid!r}")
        stage = PipelineSharedReadWrite.getStagePath(uid, place, len(uids), f"{PIPELINE}/{STAGES}")
        _check_class(path, stage, metadata, STAGE_CLASSES)


def _check_class(path: Location, stage: str, metadata: Contents, allowed: Set[str]) -> None:
    name = str(_metadata_of(stage, metadata).get("class", "an unknown class"))
    if name not in allowed:
        raise _stranger(path, f"loading {stage} would run {name}")


def _stranger(path: Location, what: str) -> InputError:
    return InputError(
        f"{path}: {what}, which no bundle of ours holds: do not use it, and train again",
        argument="model",
    )


def _stage_uids(metadata: Contents) -> list[str]:
    try:
        return [str(uid) for uid in _metadata_of(PIPELINE, metadata)["paramMap"]["stageUids"]]
    except (KeyError, TypeError):
        return [""]  # no stage has this uid, so that it is refused


def _metadata_of(stage: str, metadata: Contents) -> dict[str, Any]:
    """The metadata of a stage, which Spark's loader reads first; empty unless it is one line with an object.

    Spark reads some files with names that look hidden, such as ``_a=b``. So all files are read except those
    that Hadoop adds.
    """
    folder = f"{stage}/{METADATA}/"
    parts = [
        content
        for name, content in metadata.items()
        if name.startswith(folder) and name != f"{folder}_SUCCESS" and not _is_checksum(name)
    ]
    try:
        (line,) = [line for content in parts for line in content.decode().splitlines()]
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
