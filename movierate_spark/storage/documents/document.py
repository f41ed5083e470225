"""What all documents have in common: frozen models that are written to JSON and parsed from it."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from movierate_spark.errors import InputError
from movierate_spark.storage.locations import Location


class Part(BaseModel):
    """A part of a document. Fields that were not set are not written."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, protected_namespaces=())

    def content(self) -> dict[str, Any]:
        """The JSON content, without fields that were not set."""
        return self.model_dump(mode="json", exclude_unset=True)


class Document(Part):
    """A complete document. Without ``format_version`` it was written by version 0.1."""

    newest: ClassVar[int] = 1

    format_version: int = Field(default=0, ge=0, le=1)

    @classmethod
    def new(cls, **content: Any) -> Self:
        """A new document in the newest format."""
        return cls.model_validate({"format_version": cls.newest, **content})

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Parse a document from a file's bytes.

        Raises:
            ValueError: they are not JSON, or not a document of this kind (``pydantic.ValidationError``).
        """
        return cls.model_validate(json.loads(content))


D = TypeVar("D", bound=Document)


def problem_with(error: Exception) -> str:
    """A short description of the error for which a document can't be read."""
    if not isinstance(error, ValidationError):
        return str(error)
    first: Any = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if where == "format_version":
        return f"its format_version is {first['input']!r}, another version's"
    if first["type"] == "missing":
        return f"it lacks {where}"
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def read_document(
    file: Location, kind: type[D], *, what: str, argument: str, made_by: str
) -> tuple[D, bytes]:
    """The document that publishes a folder, and the bytes from which it was parsed.

    ``what`` is what the folder is, ``argument`` the parameter that named it, ``made_by`` the command to run.

    Raises:
        InputError: there is no such file, or it can't be read.
    """
    try:
        content = file.read_bytes()
        return kind.parse(content), content
    except FileNotFoundError as error:
        message = f"{file.parent}: no {what} there ({file.name} is missing): run {made_by}"
        raise InputError(message, argument=argument) from error
    except (OSError, ValueError) as error:
        problem = problem_with(error)
        message = f"{file.parent}: {file.name} can't be read ({problem}): run {made_by} again"
        raise InputError(message, argument=argument) from error
