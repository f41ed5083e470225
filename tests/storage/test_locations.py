"""Locations, local and remote, with the same contract; what is behind them runs for real."""

from __future__ import annotations

import ast
import gzip
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from helpers import ROOT
from pyspark.sql import SparkSession
from s3_in_hadoop import reached
from servers import BUCKET, s3_server

from movierate_spark.errors import InputError
from movierate_spark.storage import files
from movierate_spark.storage.digests import digest_of, visible_files
from movierate_spark.storage.locations import Location, RemotePath, location_of, uri_of
from movierate_spark.storage.locations.credentials import object_store_options
from movierate_spark.storage.tables import pattern_of

KINDS = ("local", "hadoop", "object store")


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("/srv/lake", "file:///srv/lake"),
        ("file:///srv/a%20lake", "file:///srv/a lake"),
        ("file:/srv/lake", "file:///srv/lake"),
        ("s3a://bucket/lake/", "s3a://bucket/lake"),
        ("S3A://Bucket//my lake", "s3a://Bucket/my lake"),
        ("s3://bucket", "s3://bucket/"),
        ("gs://bucket/lake", "gs://bucket/lake"),
        ("abfss://container@account.dfs.core.windows.net/lake", None),
        ("hdfs://name:8020/lake", None),
        ("c:/lake", "c:/lake"),
    ],
)
def test_a_location_is_a_path_or_a_uri(name: str, uri: str | None) -> None:
    location = location_of(name)
    assert isinstance(location, RemotePath) == name.lower().startswith(("s3", "gs", "ab", "hdfs"))
    assert uri_of(location).endswith(uri or name)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ftp://host/lake", "ftp: is not supported"),
        ("s3a:/bucket/lake", "write it as s3a://bucket/folder"),
        ("hdfs:///lake", "write it as hdfs://host/folder"),
        ("s3a://bucket/100%", "can't hold %"),
        ("s3a://bucket/a/../b", r"can't hold %, . or \.\."),
    ],
)
def test_other_uris_are_refused(name: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        location_of(name)


def test_a_path_never_goes_to_the_clusters_default_file_system(tmp_path: Path) -> None:
    assert uri_of(Path("lake")) == f"file://{Path.cwd()}/lake"
    assert pattern_of(tmp_path / "a[1]*{b}") == rf"file://{tmp_path}/a\[1\]\*\{{b\}}"


def test_a_uri_leads_through_links_to_what_the_path_does(tmp_path: Path) -> None:
    for name in ("data/2000-12-31", "data/x", "srv/x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "srv" / "today").symlink_to(tmp_path / "data" / "2000-12-31")
    (tmp_path / "srv" / "link").symlink_to(tmp_path / "data" / "x")
    today = tmp_path / "srv" / "today"
    assert uri_of(today / ".." / "x") == f"file://{tmp_path}/data/x"
    assert uri_of(today / "..") == f"file://{tmp_path}/data"
    assert uri_of(tmp_path / "srv" / "x" / ".." / "link") == f"file://{tmp_path}/srv/link"


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, spark: SparkSession) -> Location:
    """A folder that does not exist yet, at each kind of location."""
    if request.param == "local":
        return tmp_path / "home"
    if request.param == "object store":
        request.getfixturevalue("s3")
        return location_of(f"s3a://{BUCKET}/{uuid.uuid4().hex}")
    # Hadoop's own way to give a file system another scheme.
    configuration = spark._jsc.hadoopConfiguration()  # type: ignore[attr-defined]
    name = f"test{uuid.uuid4().hex}"
    configuration.set(f"fs.viewfs.mounttable.{name}.link./here", tmp_path.as_uri())
    return location_of(f"viewfs://{name}/here/home")


def fill(folder: Location, *names: str) -> None:
    for name in names:
        files.make_folder((folder / name).parent)
        files.replace_text(folder / name, name)


def test_a_file_is_there_when_it_is_written_and_gone_when_it_is_removed(folder: Location) -> None:
    file = folder / "a b" / "ü[1].json"
    assert (file.exists(), file.is_file(), file.is_dir(), folder.exists()) == (False, False, False, False)
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    fill(folder, "a b/ü[1].json")
    assert (file.exists(), file.is_file(), file.is_dir()) == (True, True, False)
    assert (folder.is_dir(), folder.is_file()) == (True, False)
    assert (file.read_text(encoding="utf-8"), file.name, file.parent) == (
        "a b/ü[1].json",
        "ü[1].json",
        folder / "a b",
    )
    file.unlink()
    assert not file.exists()
    file.unlink(missing_ok=True)


def test_files_are_listed_with_their_sizes_and_times(folder: Location) -> None:
    assert (files.files_below(folder), files.entries(folder)) == ([], [])
    fill(folder, "b/c/d", "b/e", "a")
    listed = files.files_below(folder)
    assert [(entry.name, entry.size) for entry in listed] == [("a", 1), ("b/c/d", 5), ("b/e", 3)]
    assert files.entries(folder) == ["a", "b"]
    assert files.folders_below(folder, depth=1) == ["b"]
    assert files.folders_below(folder, depth=2) == ["b", "b/c"]
    assert files.last_change(folder) == pytest.approx(max(entry.modified for entry in listed), abs=2)
    assert files.entry_of(folder / "a").size == 1


def test_a_tag_changes_with_the_content(folder: Location) -> None:
    fill(folder, "a", "_hidden", "b=1/c")
    before, of_folder = files.tag_of(folder / "a"), digest_of(folder)
    assert files.tag_of(folder / "missing") == files.ABSENT
    assert visible_files(folder) == ["a", "b=1/c"]
    files.replace_text(folder / "a", "other")
    assert files.tag_of(folder / "a") != before
    assert digest_of(folder) != of_folder


def test_a_file_that_another_run_has_written_is_not_replaced(folder: Location) -> None:
    files.make_folder(folder)
    file = folder / "ledger.json"
    files.replace_text(file, "first", expected=files.ABSENT)
    with pytest.raises(FileExistsError):
        files.replace_text(file, "second", expected=files.ABSENT)
    seen = files.tag_of(file)
    files.replace_text(file, "another run's", expected=seen)
    with pytest.raises(FileExistsError):
        files.replace_text(file, "mine", expected=seen)
    assert (file.read_text(encoding="utf-8"), files.entries(folder)) == ("another run's", ["ledger.json"])


@pytest.mark.parametrize("folder", ["object store"], indirect=True)
@pytest.mark.parametrize("exists", [False, True])
def test_a_file_is_written_although_the_first_answer_was_lost(folder: Location, exists: bool) -> None:
    file = folder / "loses-answer.json"
    if exists:
        files.replace_text(file, "before")
    files.replace_text(file, "mine", expected=files.tag_of(file))
    assert file.read_text(encoding="utf-8") == "mine"
    with pytest.raises(FileExistsError):
        files.replace_text(file, "another", expected=files.ABSENT)


@pytest.mark.parametrize("folder", KINDS[1:], indirect=True)
def test_of_many_who_create_a_file_one_wins(folder: Any) -> None:
    folder.make_folder()

    def create(number: int) -> bool:
        try:
            (folder / "one").replace_content(str(number).encode(), expected=files.ABSENT)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as writers:
        won = list(writers.map(create, range(8)))
    assert won.count(True) == 1
    assert (folder / "one").read_bytes() == str(won.index(True)).encode()
    assert files.entries(folder) == ["one"]


def test_a_file_is_read_at_any_place(folder: Location) -> None:
    content = bytes(range(256)) * 12_000
    files.make_folder(folder)
    files.write_chunks(folder / "x.bin", [content[:2_000_000], content[2_000_000:]])
    with (folder / "x.bin").open("rb") as file:
        assert (file.seek(-5, 2), file.read()) == (len(content) - 5, content[-5:])
        assert (file.seek(1_048_570), file.read(20)) == (1_048_570, content[1_048_570:1_048_590])
    assert b"".join(files.chunks_of(folder / "x.bin")) == content
    files.write_chunks(folder / "x.gz", [gzip.compress(content)])
    with files.open_text(folder / "x.gz") as file:
        assert file.read() == content


def test_files_are_moved_and_trees_removed(folder: Location) -> None:
    fill(folder, "work/a", "a", "b")
    files.move(folder / "work" / "a", folder / "a")
    assert (folder / "a").read_text(encoding="utf-8") == "work/a"
    files.remove_tree(folder / "work")
    files.remove_if_empty([folder / "work", folder])
    assert [entry.name for entry in files.files_below(folder)] == ["a", "b"]
    files.remove_tree(folder)
    files.remove_tree(folder)
    assert not folder.exists()


@pytest.mark.parametrize("root", ["s3a://bucket", "hdfs://name:8020"])
def test_a_whole_bucket_is_never_removed(root: str) -> None:
    with pytest.raises(ValueError, match="never removed"):
        files.remove_tree(location_of(root))


def test_missing_folders_are_those_that_a_failed_run_has_to_remove(folder: Location) -> None:
    missing = files.missing_folders(folder / "a")
    files.make_folder(folder / "a")
    files.remove_if_empty(missing)
    assert not folder.exists()
    assert files.missing_folders(folder.parent) == []


def test_several_files_are_read_at_a_time_in_their_order(folder: Location) -> None:
    names = [f"{number:02d}" for number in range(40)]
    fill(folder, *names)
    assert list(files.read_all([folder / name for name in names])) == [name.encode() for name in names]


@pytest.mark.usefixtures("s3")
def test_a_run_tries_once_whether_a_bucket_lets_one_writer_win() -> None:
    table = location_of(f"s3a://{BUCKET}/table")
    files.check_commits(table)
    assert files.files_below(table) == []


def test_a_storage_on_which_two_runs_could_both_publish_is_refused(
    spark: SparkSession, tmp_path: Path
) -> None:
    with (
        s3_server(tmp_path, ignores_conditions=True) as server,
        reached(spark, server),
        pytest.raises(InputError, match="ignores If-None-Match"),
    ):
        files.check_commits(location_of(f"s3a://{BUCKET}/table"))


@pytest.mark.usefixtures("s3")
def test_errors_name_the_place() -> None:
    missing: Any = location_of("s3a://no-such-bucket/lake")
    with pytest.raises(OSError, match="s3a://no-such-bucket/lake") as caught:
        missing.names()
    assert "\n" not in str(caught.value)
    assert "<" not in str(caught.value)


@pytest.mark.parametrize(
    ("root", "properties", "options"),
    [
        (
            "s3a://b",
            {
                "fs.s3a.access.key": "id",
                "fs.s3a.secret.key": "secret",
                "fs.s3a.endpoint": "storage.example:9000",
                "fs.s3a.connection.ssl.enabled": "false",
                "fs.s3a.path.style.access": "true",
                "fs.s3a.endpoint.region": "eu-west-1",
                "fs.s3a.bucket.b.access.key": "own",
            },
            {
                "aws_access_key_id": "own",
                "aws_secret_access_key": "secret",
                "aws_endpoint": "http://storage.example:9000",
                "aws_virtual_hosted_style_request": "false",
                "aws_region": "eu-west-1",
                "aws_allow_http": "true",
            },
        ),
        (
            "abfss://c@lakes.dfs.core.windows.net",
            {
                "fs.azure.account.oauth2.client.id.lakes.dfs.core.windows.net": "id",
                "fs.azure.account.oauth2.client.secret": "secret",
                "fs.azure.account.oauth2.client.endpoint": "https://login.example/tenant-1/oauth2/token",
            },
            {
                "azure_storage_account_name": "lakes",
                "azure_storage_client_id": "id",
                "azure_storage_client_secret": "secret",
                "azure_storage_tenant_id": "tenant-1",
            },
        ),
        (
            "gs://b",
            {"google.cloud.auth.service.account.json.keyfile": "/etc/key.json"},
            {"google_service_account": "/etc/key.json"},
        ),
    ],
)
def test_credentials_are_those_of_sparks_hadoop(
    spark: SparkSession, root: str, properties: dict[str, str], options: dict[str, str]
) -> None:
    configuration = spark._jsc.hadoopConfiguration()  # type: ignore[attr-defined]
    before = {name: configuration.get(name) for name in properties}
    for name, value in properties.items():
        configuration.set(name, value)
    try:
        assert object_store_options(root) == options
    finally:
        for name, value in before.items():
            configuration.unset(name) if value is None else configuration.set(name, value)


def test_paths_below_one_another() -> None:
    lake: Any = location_of("s3a://bucket/lake")
    assert (lake / "a" / "b.csv").relative_to(lake) == PurePosixPath("a/b.csv")
    assert ((lake / "b.csv.gz").suffix, (lake / "b.csv").stem, lake.with_name("c")) == (
        ".gz",
        "b",
        lake.parent / "c",
    )
    assert (lake.parent.parent, str(lake.parent), lake.resolve()) == (lake.parent, "s3a://bucket/", lake)
    with pytest.raises(ValueError, match="not below"):
        location_of("s3a://other/lake").relative_to(lake)  # type: ignore[arg-type]


OWN_FILES = {"config.py", "session.py", "cli/examination.py", "storage/files.py"}
"""Modules that read files of the installation, or that are the one place that touches storage."""


def test_only_one_place_touches_files() -> None:
    package = ROOT / "movierate_spark"
    modules = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    elsewhere = {name for name in modules if not name.startswith("storage/locations/")} - OWN_FILES
    touching = {
        name: names
        for name in sorted(elsewhere)
        if (names := _names_of_files(ast.parse(modules[name].read_text())))
    }
    assert touching == {}


def _names_of_files(module: ast.Module) -> set[str]:
    """Names by which a module could touch files, other than types."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names} & {"shutil", "tempfile", "glob", "fsspec", "obstore"}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            names |= {called} & {"open", "Path", "io.open"}
            if called.startswith("os.") and not called.startswith(
                ("os.environ", "os.fspath", "os.cpu_count")
            ):
                names.add(called)
    return names
