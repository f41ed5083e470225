"""Predict how likely a user is to like a movie: the jobs as Python functions.

    import movierate_spark as mr

    spark = mr.local_session()
    lake = mr.prepare(spark, "input", "lake")
    bundle = mr.train(lake, "model", until="2002-07-01")
    bundle.predict(lake, pairs).show()        # pairs: user_id, movie_id and optionally at

Names are imported when they are first used, so that the command line starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from movierate_spark.config import Settings, load_settings
    from movierate_spark.errors import ConflictError, InputError, MovierateError, MovierateWarning
    from movierate_spark.model.bundle import Bundle
    from movierate_spark.storage.lake import Lake
    from movierate_spark.workflows.api import (
        evaluate,
        explore,
        load_bundle,
        local_session,
        open_lake,
        prepare,
        recommend,
        simulate,
        train,
        undo,
    )

__all__ = [
    "Bundle",
    "ConflictError",
    "InputError",
    "Lake",
    "MovierateError",
    "MovierateWarning",
    "Settings",
    "evaluate",
    "explore",
    "load_bundle",
    "load_settings",
    "local_session",
    "open_lake",
    "prepare",
    "recommend",
    "simulate",
    "train",
    "undo",
]
_HOMES = {
    "Bundle": "movierate_spark.model.bundle",
    "ConflictError": "movierate_spark.errors",
    "InputError": "movierate_spark.errors",
    "Lake": "movierate_spark.storage.lake",
    "MovierateError": "movierate_spark.errors",
    "MovierateWarning": "movierate_spark.errors",
    "Settings": "movierate_spark.config",
    "load_settings": "movierate_spark.config",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "movierate_spark.workflows.api")), name)


def __dir__() -> list[str]:
    return __all__
