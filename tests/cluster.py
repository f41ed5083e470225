"""A standalone cluster on this machine: a master and two workers, as an operator would start them."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import uuid
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyspark

ROOT = Path(__file__).parent.parent
ARCHIVE = ROOT / "dist" / "movierate-spark-environment.tar.gz"
# This environment's Spark is the one of the cluster: the archive holds none.
SPARK_HOME = Path(pyspark.__file__).parent
PATIENCE = 600  # seconds: on a busy machine a cluster's job was not writing after 120
SMALL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.executor.memory": "1g",
    "spark.executor.cores": "1",
    "spark.dynamicAllocation.minExecutors": "2",
    "spark.dynamicAllocation.maxExecutors": "2",
    "spark.sql.shuffle.partitions": "4",
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
}


@dataclass
class Submitted:
    """A job that was submitted; ``folder`` holds what its driver prints."""

    driver: subprocess.Popen[bytes]
    folder: Path

    @property
    def out(self) -> str:
        """What the job has said so far."""
        return (self.folder / "out").read_text()

    @property
    def printed(self) -> str:
        """All that it has printed; spark-submit gives a driver's stderr out as its own stdout."""
        return self.out + (self.folder / "err").read_text()

    @property
    def is_running(self) -> bool:
        """Whether its driver has not ended."""
        return self.driver.poll() is None

    def comes_to(self, condition: Callable[[], object]) -> bool:
        """Wait for something that happens while the job runs; whether it did."""
        wait_until(lambda: condition() or not self.is_running)
        return self.is_running

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for something that must happen while the job runs."""
        assert self.comes_to(condition), self.printed

    def done(self) -> str:
        """Wait until the job is done, and return what it said."""
        status = self.driver.wait()
        assert status == 0, self.printed
        return self.out


@dataclass
class Cluster:
    """Running daemons; ``environment`` is the archive unpacked, in which drivers run."""

    folder: Path
    environment: Path
    master: str
    properties: Path
    variables: Mapping[str, str]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, job: str, arguments: Sequence[object], properties: Mapping[str, str]) -> list[str]:
        """The line an operator would type."""
        options = [part for pair in properties.items() for part in ("--conf", "=".join(pair))]
        submit = (SPARK_HOME / "bin" / "spark-submit", "--properties-file", self.properties)
        return list(map(str, (*submit, *options, self.environment / "jobs" / f"{job}.py", *arguments)))

    def start(self, job: str, *arguments: object, properties: Mapping[str, str] | None = None) -> Submitted:
        """Submit a job and go on."""
        folder = self.folder / "submitted" / f"{job}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            driver = subprocess.Popen(
                self.command(job, arguments, properties or {}),
                env=dict(self.variables),
                cwd=self.folder,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return Submitted(driver, folder)

    def submit(self, job: str, *arguments: object, properties: Mapping[str, str] | None = None) -> str:
        """Submit a job, wait until it is done, and return what it said."""
        return self.start(job, *arguments, properties=properties).done()

    def events(self) -> str:
        """The event log of the newest application."""
        return max(
            (self.folder / "events").rglob("events_*"), key=lambda file: file.stat().st_mtime
        ).read_text()

    def clear(self) -> None:
        """Remove the environments that executors of ended applications have unpacked: each is large."""
        for unpacked in self.folder.glob("worker*/app-*/*/environment"):
            shutil.rmtree(unpacked, ignore_errors=True)

    def start_worker(self) -> None:
        """One more worker with a core and a host of its own: no host is given a task and its copy."""
        number = len(self.workers)
        arguments = ("--cores", "1", "--memory", "1g", "--work-dir", self.folder / f"worker{number}")
        host = f"127.0.0.{number + 2}"
        worker = self._daemon(f"worker{number}", "worker.Worker", host, *arguments, self.master)
        self.workers.append(worker)
        self._wait_for(f"worker{number}", worker, "Successfully registered with master")

    def start_master(self) -> subprocess.Popen[bytes]:
        """The master, at the address that is known already."""
        port = self.master.rpartition(":")[2]
        master = self._daemon("master", "master.Master", "127.0.0.1", "--port", port)
        self._wait_for("master", master, "I have been elected leader")
        return master

    def _daemon(self, name: str, main: str, host: str, *arguments: object) -> subprocess.Popen[bytes]:
        common = ("--host", host, "--webui-port", "0", "--properties-file", self.properties)
        command = (SPARK_HOME / "bin" / "spark-class", f"org.apache.spark.deploy.{main}", *common, *arguments)
        own = {"SPARK_CONF_DIR": str(self.folder), "SPARK_LOCAL_IP": host}
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [str(part) for part in command],
                env={**self.variables, **own},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_for(self, name: str, daemon: subprocess.Popen[bytes], line: str) -> None:
        log = self.folder / f"{name}.log"
        wait_until(lambda: line in log.read_text(errors="replace") or daemon.poll() is not None)
        assert daemon.poll() is None, log.read_text(errors="replace")[-2000:]

    def executors(self, worker: int) -> list[int]:
        """Process ids of a worker's executors."""
        pids = processes("org.apache.spark.executor.CoarseGrainedExecutorBackend")
        return [pid for pid in pids if parent(pid) == self.workers[worker].pid]

    def busiest(self) -> int:
        """The worker whose executors have worked most within a second."""
        numbers = range(len(self.workers))
        before = [sum(map(work, self.executors(number))) for number in numbers]
        time.sleep(1)
        return max(numbers, key=lambda number: sum(map(work, self.executors(number))) - before[number])

    def python_workers(self, worker: int) -> list[int]:
        """Process ids of the Python processes in which a worker's tasks run."""
        home = self.folder / f"worker{worker}"
        return [pid for pid in processes("pyspark.daemon") if home in working_folder(pid).parents]


def processes(part: str) -> list[int]:
    """Process ids of those whose command line holds ``part``."""
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if part in command_line(entry)]


def command_line(process: Path) -> str:
    """Of a folder of ``/proc``; empty where the process has gone."""
    try:
        return process.joinpath("cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def working_folder(pid: int) -> Path:
    """Where a process runs; the root where it has gone."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return Path("/")


def parent(pid: int) -> int:
    """The process id of a process's parent; 0 where it has gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def work(pid: int) -> int:
    """Clock ticks of the processor that a process has used; 0 where it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def wait_until(condition: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def bare_python(folder: Path) -> Path:
    """The bin folder of a Python without packages."""
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin"


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster of two workers in ``folder``, from the shipped settings and the shipped archive."""
    environment = folder / "environment"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(environment, filter="fully_trusted")
    (folder / "events").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        master = f"spark://127.0.0.1:{free.getsockname()[1]}"
    properties = folder / "cluster.conf"
    properties.touch(mode=0o600)
    shipped = (environment / "conf" / "standalone.conf").read_text()
    own = {
        **SMALL,
        "spark.master": master,
        "spark.archives": f"{ARCHIVE}#environment",
        "spark.pyspark.driver.python": str(environment / "bin" / "python"),
        "spark.authenticate.secret": secrets.token_hex(16),
        "spark.eventLog.dir": (folder / "events").as_uri(),
    }
    properties.write_text(shipped + "".join(f"{name} {value}\n" for name, value in own.items()))
    variables = {
        "PATH": os.pathsep.join([str(bare_python(folder / "bare")), "/usr/bin", "/bin"]),
        "HOME": str(folder),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(folder / "spill"),
        "SPARK_CONF_DIR": str(environment / "conf"),
        "SPARK_HOME": str(SPARK_HOME),
        **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ},
    }
    cluster = Cluster(folder, environment, master, properties, variables)
    daemons = [cluster.start_master()]
    try:
        for _ in range(2):
            cluster.start_worker()
        yield cluster
    finally:
        for daemon in [*cluster.workers, *daemons]:
            if daemon.poll() is None:
                os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()


if __name__ == "__main__":  # to try things by hand: python tests/cluster.py FOLDER
    with running(Path(sys.argv[1]).resolve()) as by_hand:
        sys.stdout.write(f"{by_hand.master}\n")
        sys.stdout.flush()
        signal.pause()
