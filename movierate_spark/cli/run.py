"""What the commands share: settings, a Spark session, a run record and output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from movierate_spark.storage.locations import Location
    from movierate_spark.storage.run_records import Draft


class Run:
    """One run of a command: its settings, Spark session, run record and output."""

    profile: ClassVar[Literal["local", "cluster"]] = "local"
    session: ClassVar[SparkSession | None] = None
    """The session of the batch that this command is part of."""
    config: ClassVar[tuple[Path, ...]] = ()
    """The batch's files of settings. A command's own files win over them."""

    def __init__(self, command: str, config: Sequence[Path] | None) -> None:
        from movierate_spark.config import load_settings
        from movierate_spark.progress import Progress, plain_console

        self.command = command
        self.settings = load_settings((*Run.config, *(config or ())), profile=self.profile)
        self.progress = Progress()
        self.out = plain_console(soft_wrap=True)

    def locations(self, *names: str) -> list[Location]:
        """The locations with these names. If one is remote, the JVM is started, which can reach it.

        Raises:
            InputError: a name is a URI of a kind that is not supported.
        """
        from movierate_spark.storage.locations import RemotePath, location_of

        locations = [location_of(name) for name in names]
        if any(isinstance(location, RemotePath) for location in locations):
            from movierate_spark import session as sessions

            sessions.start_jvm(self._properties)
        return locations

    @contextmanager
    def spark(self) -> Iterator[SparkSession]:
        """A Spark session that is stopped after the block; in a batch, the batch's session."""
        from movierate_spark import session as sessions

        if Run.session is not None:
            yield Run.session
            return
        session = sessions.build_session(f"movierate {self.command}", self._properties)
        try:
            yield session
        finally:
            session.stop()

    @classmethod
    @contextmanager
    def in_batch(cls, session: SparkSession, config: Sequence[Path] | None) -> Iterator[None]:
        """Commands in this block use this session, and these files of settings before their own."""
        Run.session, Run.config = session, tuple(config or ())
        try:
            yield
        finally:
            Run.session, Run.config = None, ()

    @contextmanager
    def without_spark(self) -> Iterator[None]:
        """A run that needs no Spark session.

        If the driver runs on the cluster, one is started all the same: YARN calls a driver without a session
        failed.
        """
        from movierate_spark import session as sessions

        if self.profile == "cluster" and sessions.is_driver_on_cluster():
            with self.spark():
                yield
        else:
            yield

    @cached_property
    def _properties(self) -> dict[str, str]:
        """Spark's properties.

        Under ``spark-submit`` (profile ``cluster``), master and memory are those it was given.
        """
        from movierate_spark import session as sessions

        spark_settings = self.settings.spark
        properties = dict(spark_settings.properties)
        if self.profile == "local":
            defaults = sessions.local_properties(
                cores=spark_settings.cores, driver_memory=spark_settings.driver_memory
            )
            properties = defaults | properties
        else:
            features = self.settings.features
            properties |= sessions.memory_overhead(
                properties | sessions.submitted_properties(),
                task_max_rows=features.task_max_rows,
                uses_taste=features.uses_taste,
            )
        return properties

    def recorded(self, target: Location) -> AbstractContextManager[Draft]:
        """A run record that the block fills, written to ``target`` after it."""
        from movierate_spark.storage.run_records import recorded

        return recorded(target, self.command, self.settings, self.progress.done)

    def say(self, line: str) -> None:
        """Print a line of the result."""
        self.out.print(line)

    def say_all(self, lines: Iterable[str]) -> None:
        """Print lines of the result."""
        for line in lines:
            self.say(line)
