"""Real servers for tests, on loopback: Hadoop's mini cluster, with HDFS and YARN, and a server like S3."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from xml.sax.saxutils import escape

import pyspark
from cluster import PATIENCE, ROOT, SMALL, processes
from py4j.java_gateway import JavaGateway

SPARK_HOME = Path(pyspark.__file__).parent
SPARK_JARS = SPARK_HOME / "jars"
JARS = ROOT / ".jars"
DAEMONS_NEED = ("hadoop-client-*", "slf4j-api-*", "jcl-over-slf4j-*", "log4j-*")
ANY_PORT = "127.0.0.1:0"
YARN = {
    "yarn.minicluster.fixed.ports": "true",  # otherwise it listens on the host's own address
    **{
        f"yarn.{role}.address": ANY_PORT
        for role in (
            "resourcemanager",
            "resourcemanager.scheduler",
            "resourcemanager.admin",
            "resourcemanager.resource-tracker",
            "resourcemanager.webapp",
            "nodemanager",
            "nodemanager.localizer",
            "nodemanager.webapp",
            "nodemanager.collector-service",
        )
    },
    "yarn.minicluster.yarn.nodemanager.resource.memory-mb": "8192",
    "yarn.nodemanager.resource.cpu-vcores": "4",
    "yarn.nodemanager.pmem-check-enabled": "true",
    "yarn.nodemanager.vmem-check-enabled": "false",
    "yarn.nodemanager.disk-health-checker.enable": "false",
    "yarn.scheduler.minimum-allocation-mb": "128",
    "yarn.scheduler.capacity.root.queues": "default",
    "yarn.scheduler.capacity.root.default.capacity": "100",
    "yarn.scheduler.capacity.maximum-am-resource-percent": "0.9",
}
# Containers find Spark's jars where they are, instead of getting 400 MB of copies.
ON_YARN = {
    **{name: value for name, value in SMALL.items() if "eventLog" not in name},
    "spark.yarn.jars": f"local:{SPARK_JARS}/*",
    "spark.yarn.appMasterEnv.SPARK_LOCAL_IP": "127.0.0.1",  # executors get it from there
}
# In cluster mode too the driver would run the Python that spark.pyspark.driver.python names.
CLIENT = {"spark.submit.deployMode": "client", "spark.pyspark.driver.python": sys.executable}
CLUSTER = {"spark.submit.deployMode": "cluster"}
SITES = {
    "core-site.xml": ("fs.defaultFS",),
    "hdfs-site.xml": ("dfs.replication",),
    "yarn-site.xml": (
        "yarn.resourcemanager.address",
        "yarn.resourcemanager.scheduler.address",
        "yarn.resourcemanager.webapp.address",
        "yarn.resourcemanager.am.max-attempts",
    ),
}
LOG4J = """
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
"""
BUCKET = "bucket"
REGION = "us-east-1"
KEY = "test"


@dataclass
class MiniCluster:
    """A running HDFS and YARN; ``hdfs`` and ``yarn`` are the Java objects, to break them with."""

    folder: Path
    configuration: Path
    hdfs: Any
    yarn: Any
    gateway: JavaGateway

    @property
    def variables(self) -> dict[str, str]:
        """The environment of Spark's and Hadoop's clients."""
        return {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
            "HOME": str(self.folder),
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "HADOOP_CONF_DIR": str(self.configuration),
            "YARN_CONF_DIR": str(self.configuration),
            **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ},
        }

    @property
    def file_system(self) -> str:
        """The address of HDFS."""
        return str(self.hdfs.getURI())

    def put(self, local: Path, remote: str) -> str:
        """Copy a file to HDFS; its address there."""
        to = self.gateway.jvm.org.apache.hadoop.fs.Path
        self.hdfs.getFileSystem().copyFromLocalFile(to(local.as_uri()), to(remote))
        return f"{self.file_system}{remote}"

    def submit(
        self, job: Path, *arguments: object, properties: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a job with the shipped settings for YARN. The properties hold ``CLIENT`` or ``CLUSTER``."""
        options = [part for pair in {**ON_YARN, **properties}.items() for part in ("--conf", "=".join(pair))]
        shipped = ("--properties-file", ROOT / "conf" / "yarn.conf")
        return subprocess.run(
            [
                str(part)
                for part in (SPARK_HOME / "bin" / "spark-submit", *shipped, *options, job, *arguments)
            ],
            env=self.variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def applications(self) -> list[dict[str, Any]]:
        """What YARN's REST interface says of each application, the newest first."""
        address = self.yarn.getConfig().get("yarn.resourcemanager.webapp.address")
        with urllib.request.urlopen(f"http://{address}/ws/v1/cluster/apps") as answer:
            apps = (json.load(answer)["apps"] or {"app": []})["app"]
        return sorted(apps, key=lambda app: int(app["startedTime"]), reverse=True)

    def logs(self, application: str) -> dict[str, str]:
        """What each container of an application has printed, by ``container/stdout`` and so on."""
        logs = Path(self.yarn.getNodeManager(0).getConfig().get("yarn.nodemanager.log-dirs")) / application
        files = sorted(logs.glob("*/std*"))
        return {str(file.relative_to(logs)): file.read_text(errors="replace") for file in files}


@contextmanager
def mini_cluster(folder: Path) -> Iterator[MiniCluster]:
    """HDFS and YARN with a node of 8 GiB, in one Java process, which dies with this one."""
    (folder / "log4j2.properties").write_text(LOG4J)
    with (folder / "log").open("w", buffering=1) as log:
        gateway = _java(folder, log)
        try:
            cluster = _started(folder, gateway)
            try:
                yield cluster
            finally:
                cluster.yarn.stop()
        finally:
            gateway.shutdown()
            gateway.java_process.kill()
            gateway.java_process.wait()
            for container in processes(f"{folder}/target/"):
                os.kill(container, signal.SIGKILL)


def _java(folder: Path, log: TextIO) -> JavaGateway:
    minicluster = sorted((JARS / "minicluster").glob("*.jar"))
    assert minicluster, f"{JARS}/minicluster is missing: run make cluster-test"
    spark = [jar for name in DAEMONS_NEED for jar in sorted(SPARK_JARS.glob(f"{name}.jar"))]
    options = ["-Xmx1g", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={folder}/log4j2.properties"]
    return JavaGateway.launch_gateway(
        jarpath=str(next(SPARK_JARS.glob("py4j-*.jar"))),
        classpath=os.pathsep.join(map(str, [*minicluster, *spark])),
        javaopts=options,
        java_path=None,
        die_on_exit=True,
        enable_auth=True,
        cwd=str(folder),
        redirect_stdout=log,
        redirect_stderr=log,
    )


def _started(folder: Path, gateway: JavaGateway) -> MiniCluster:
    java, hadoop = gateway.jvm.java, gateway.jvm.org.apache.hadoop
    conf = hadoop.conf.Configuration()
    hdfs = hadoop.hdfs.MiniDFSCluster.Builder(conf, java.io.File(str(folder / "hdfs"))).build()
    hdfs.waitActive()
    conf = hadoop.yarn.conf.YarnConfiguration(conf)
    java_home = java.lang.System.getProperty("java.home")
    conf.set("yarn.nodemanager.admin-env", f"JAVA_HOME={java_home}")
    for name, value in YARN.items():
        conf.set(name, value)
    yarn = hadoop.yarn.server.MiniYARNCluster("yarn", 1, 1, 1)
    yarn.init(conf)
    yarn.start()
    assert yarn.waitForNodeManagersToConnect(PATIENCE * 1000)
    configuration = folder / "conf"
    configuration.mkdir()
    for name, properties in SITES.items():
        values = {each: yarn.getConfig().get(each) for each in properties}
        (configuration / name).write_text(_site(values))
    return MiniCluster(folder, configuration, hdfs, yarn, gateway)


def _site(properties: Mapping[str, str]) -> str:
    lines = [
        f"<property><name>{name}</name><value>{escape(value)}</value></property>"
        for name, value in properties.items()
    ]
    return "\n".join(["<configuration>", *lines, "</configuration>", ""])


@dataclass(frozen=True)
class Request:
    """What the server like S3 was asked, and how it answered; bytes of the bodies."""

    method: str
    path: str
    query: str
    status: int
    received: int
    sent: int

    @property
    def key(self) -> str:
        """The object's; empty where the bucket as a whole was asked."""
        return self.path.removeprefix(f"/{BUCKET}").removeprefix("/")


@dataclass
class S3Server:
    """A running server like S3 with an empty bucket, and what it was asked."""

    url: str
    log: Path

    @property
    def spark_properties(self) -> dict[str, str]:
        """What Spark reaches it by, at ``s3a://bucket/``."""
        options = {
            "endpoint": self.url,
            "endpoint.region": REGION,
            "path.style.access": "true",
            "connection.ssl.enabled": "false",
            "access.key": KEY,
            "secret.key": KEY,
        }
        return {
            "spark.jars": ",".join(map(str, sorted((JARS / "s3a").glob("*.jar")))),
            **{f"spark.hadoop.fs.s3a.{name}": value for name, value in options.items()},
        }

    @property
    def storage_options(self) -> dict[str, str]:
        """What deltalake and obstore reach it by, at ``s3://bucket/``; also as environment variables."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_ALLOW_HTTP": "true",
        }

    def requests(self) -> list[Request]:
        """What it was asked since the start, or the last ``clear``."""
        return [Request(**json.loads(line)) for line in self.log.read_text().splitlines()]

    def clear(self) -> None:
        """Forget what it was asked."""
        self.log.write_text("")


@contextmanager
def s3_server(folder: Path, *, ignores_conditions: bool = False) -> Iterator[S3Server]:
    """A server like S3 with an empty bucket, that leaves what it was asked in ``folder``."""
    requests = folder / "requests.jsonl"
    requests.touch()
    python, script = ROOT / ".venv-s3" / "bin" / "python", Path(__file__).with_name("s3.py")
    assert python.exists(), f"{python} is missing: run make cluster-test"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, script, requests, *["ignore"] * ignores_conditions],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        try:
            port = process.stdout.readline().strip()
            assert port, (folder / "log").read_text()
            server = S3Server(f"http://127.0.0.1:{port}", requests)
            create = urllib.request.Request(f"{server.url}/{BUCKET}", method="PUT")
            with urllib.request.urlopen(create):
                server.clear()
            yield server
        finally:
            process.kill()
