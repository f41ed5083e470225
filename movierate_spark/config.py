"""Typed, frozen settings. All values are checked when they are loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from movierate_spark.errors import InputError
from movierate_spark.times import in_utc

Fraction = Annotated[float, Field(ge=0, le=1)]
SliceFraction = Annotated[float, Field(gt=0, lt=0.5)]
Count = Annotated[int, Field(ge=1)]
Time = Annotated[datetime, AfterValidator(in_utc)]
ENV_PREFIX = "MOVIERATE__"


def conf_dir() -> Path:
    """The folder of the default settings: inside an installed package, or at the top level of a checkout."""
    installed = Path(str(resources.files("movierate_spark"))) / "conf"
    return installed if installed.is_dir() else Path(__file__).resolve().parent.parent / "conf"


class Section(BaseModel):
    """A section of the settings: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputColumns(Section):
    """Column names in the header of the csv format, by this project's names."""

    ratings: dict[Literal["user_id", "movie_id", "rating", "rated_at"], str]
    users: dict[Literal["user_id", "gender", "age", "occupation", "zip"], str]
    movies: dict[Literal["movie_id", "title", "genres"], str]


class InputSettings(Section):
    """The format of the delivered files."""

    separator: Annotated[str, Field(min_length=1, pattern=r'^[^"\r\n\s]+$|^\t$|^ $')]
    rating_min: float | None = None
    rating_max: float | None = None
    columns: InputColumns


class ValidateSettings(Section):
    """When a row is rejected, and when a whole delivery is refused."""

    max_rejected_fraction: Fraction
    rated_at_min: Time


class CleanSettings(Section):
    """Which demographic values are known; others become unknown."""

    genders: tuple[str, ...]
    age_max: Count


class LabelSettings(Section):
    """The rating from which a movie counts as liked."""

    min_rating: float


class FeatureSettings(Section):
    """Which features the model has, and how they are computed."""

    month: Literal["auto", "always", "never"]
    history: bool
    collaborative: bool
    history_max: Count
    neighbours_max: Count
    time_block_first: Count
    time_block_growth: Annotated[float, Field(gt=1)]
    zip3_min_users: Count
    genre_min_movies: Count
    shrinkage_user: Annotated[float, Field(gt=0)]
    shrinkage_movie: Annotated[float, Field(gt=0)]
    shrinkage_taste: Annotated[float, Field(gt=0)]
    shrinkage_group: Annotated[float, Field(gt=0)]
    task_max_rows: Count

    @property
    def uses_taste(self) -> bool:
        """Whether the model has the columns of people with the same taste, which are part of the history."""
        return self.history and self.collaborative


class TrainSettings(Section):
    """How the model is chosen and fitted."""

    test_fraction: SliceFraction
    tune_fraction: SliceFraction
    folds: Annotated[int, Field(ge=2)]
    reg_param: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
    elastic_net_param: Annotated[tuple[Fraction, ...], Field(min_length=1)]
    max_iter: Count
    tol: Annotated[float, Field(gt=0)]
    max_rows: Count
    partitions: Count | Literal["auto"]
    parallelism: Count
    threshold_metric: Literal["accuracy", "f1"]
    calibration: Literal["platt", "isotonic", "none"]
    refit: bool


class EvaluateSettings(Section):
    """How confidence intervals of metrics are computed."""

    resamples: Annotated[int, Field(ge=0)]
    seed: int


class ScoreSettings(Section):
    """How requests are scored."""

    reasons: Annotated[int, Field(ge=0)]
    dates_at_once: Count


class RecommendSettings(Section):
    """Which movies may be recommended."""

    min_support: Annotated[int, Field(ge=0)]
    genres: tuple[str, ...]
    year_min: int | None = None
    year_max: int | None = None


class ReportSettings(Section):
    """What a report may show."""

    min_cell: Annotated[int, Field(ge=2)]
    min_support: Annotated[int, Field(ge=2)]


class SparkSettings(Section):
    """How a local run starts Spark."""

    cores: str
    driver_memory: str
    properties: dict[str, str]


class Settings(BaseSettings):
    """All settings. ``conf/base.toml`` has the default of each and a comment on it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_prefix_target="all",  # else a field with an alias is read without the prefix
        env_nested_delimiter="__",
        serialize_by_alias=True,
        hide_input_in_errors=True,  # the input may contain a secret
    )

    input: InputSettings
    validate_: Annotated[ValidateSettings, Field(alias="validate")]  # BaseModel has a method ``validate``
    clean: CleanSettings
    label: LabelSettings
    features: FeatureSettings
    train: TrainSettings
    evaluate: EvaluateSettings
    score: ScoreSettings
    recommend: RecommendSettings
    report: ReportSettings
    spark: SparkSettings

    @model_validator(mode="after")
    def _scale_is_an_interval(self) -> Settings:
        low, high = self.input.rating_min, self.input.rating_max
        if low is not None and high is not None and low >= high:
            raise ValueError(f"input.rating_min {low} is not below input.rating_max {high}")
        return self


def load_settings(
    files: Sequence[str | os.PathLike[str]] = (), *, profile: Literal["local", "cluster"] = "local"
) -> Settings:
    """Settings from ``conf/base.toml``, the profile's file, ``files`` in order, then the environment.

    Raises:
        InputError: a file is missing, is not TOML, or has an unknown key or an invalid value; or an
            environment variable names no section.
    """
    own = [Path(file) for file in files]
    for file in own:
        if not file.is_file():
            raise InputError(f"{file}: no such file", argument="files")
    _check_environment()
    layers = [conf_dir() / "base.toml", conf_dir() / f"{profile}.toml", *own]

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del init_settings, dotenv_settings, file_secret_settings
            return env_settings, TomlConfigSettingsSource(settings_cls, toml_file=layers, deep_merge=True)

    try:
        return Layered()  # type: ignore[call-arg]
    except ValidationError as error:
        raise InputError(f"settings: {_first_problem(error)}") from error
    except SettingsError as error:
        raise InputError(f"settings: {error}: write a list or table in a variable as JSON") from error
    except ValueError as error:  # from tomllib: it names the line but not the file
        raise InputError(f"settings: {', '.join(map(str, own))}: {error}") from error


def _check_environment() -> None:
    """Refuse variables that would have no effect."""
    sections = sorted(field.alias or name for name, field in Settings.model_fields.items())
    for name in sorted(os.environ):
        prefix, section = name[: len(ENV_PREFIX)], name[len(ENV_PREFIX) :].partition("__")[0].lower()
        if prefix.upper() == ENV_PREFIX and section not in sections:
            raise InputError(f"settings: {name}: no section {section}; there are {', '.join(sections)}")
        if name.upper().startswith(f"{ENV_PREFIX}SPARK__PROPERTIES__"):
            raise InputError(
                f"settings: {name}: names from variables are lower-cased, but Spark's properties are not:"
                f" give them all as JSON in {ENV_PREFIX}SPARK__PROPERTIES, or in a file"
            )


def _first_problem(error: ValidationError) -> str:
    first: Any = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}. conf/base.toml lists every setting"
