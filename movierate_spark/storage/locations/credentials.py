"""How ``deltalake`` and ``obstore`` reach a storage: the addresses and credentials that Spark's Hadoop has.

Where Hadoop has none of its own, both clients look where the cloud's own tools do: in environment variables,
the instance's metadata service, the workload's identity.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from movierate_spark.spark_internals import hadoop_configuration, running_jvm

Setting = Callable[[str], str | None]
HDFS = ("dfs.nameservices", "dfs.ha.namenodes.", "dfs.namenode.rpc-address.", "dfs.client.failover.proxy.")


def object_store_options(root: str) -> dict[str, str]:
    """The options for a bucket or container, such as ``aws_region``."""
    scheme, host = root.split("://")
    configuration = hadoop_configuration()

    def setting(name: str) -> str | None:
        # getPassword also reads Hadoop's credential files.
        value = configuration.getPassword(name)
        return "".join(value) or None if value is not None else None

    options = {"s3": _s3, "ab": _azure, "gs": _google}[scheme[:2]](host, setting)
    return {name: value for name, value in options.items() if value}


def _s3(bucket: str, setting: Setting) -> dict[str, str | None]:
    """From ``fs.s3a.*``; settings of a bucket (``fs.s3a.bucket.NAME.*``) win."""

    def of(name: str) -> str | None:
        return setting(f"fs.s3a.bucket.{bucket}.{name}") or setting(f"fs.s3a.{name}")

    is_plain = (of("connection.ssl.enabled") or "true").lower() == "false"
    endpoint = of("endpoint")
    if endpoint and "://" not in endpoint:
        endpoint = f"{'http' if is_plain else 'https'}://{endpoint}"
    is_anonymous = "AnonymousAWSCredentialsProvider" in (of("aws.credentials.provider") or "")
    return {
        "aws_access_key_id": of("access.key"),
        "aws_secret_access_key": of("secret.key"),
        "aws_session_token": of("session.token"),
        "aws_endpoint": endpoint,
        "aws_region": of("endpoint.region"),
        "aws_virtual_hosted_style_request": "false"
        if (of("path.style.access") or "").lower() == "true"
        else None,
        "aws_skip_signature": "true" if is_anonymous else None,
        "aws_allow_http": "true" if endpoint and endpoint.startswith("http://") else None,
    }


def _azure(container: str, setting: Setting) -> dict[str, str | None]:
    """From ``fs.azure.*``; settings of an account (``fs.azure.*.ACCOUNT.dfs.core.windows.net``) win."""
    account = container.rpartition("@")[2]

    def of(name: str) -> str | None:
        return setting(f"fs.azure.{name}.{account}") or setting(f"fs.azure.{name}")

    tenant = re.match(r"/([^/]+)/", urlsplit(of("account.oauth2.client.endpoint") or "").path)
    return {
        "azure_storage_account_name": account.partition(".")[0],
        "azure_storage_account_key": of("account.key"),
        "azure_storage_client_id": of("account.oauth2.client.id"),
        "azure_storage_client_secret": of("account.oauth2.client.secret"),
        "azure_storage_tenant_id": tenant[1] if tenant else None,
        "azure_storage_sas_key": of("sas.fixed.token"),
    }


def _google(_: str, setting: Setting) -> dict[str, str | None]:
    """From ``fs.gs.*``; the older names of the connector's key file, too."""
    names = ("fs.gs.auth.service.account.json.keyfile", "google.cloud.auth.service.account.json.keyfile")
    return {"google_service_account": next(filter(None, map(setting, names)), None)}


def hdfs_options() -> Mapping[str, str]:
    """The name nodes of each name service.

    Without Kerberos, ``deltalake`` takes its user from a variable of the environment, and else the one of the
    operating system. On YARN that is another than Spark's, which has the name of whoever submitted the job.
    """
    user = running_jvm().org.apache.hadoop.security.UserGroupInformation
    if not user.isSecurityEnabled():
        os.environ.setdefault("HADOOP_USER_NAME", user.getCurrentUser().getShortUserName())
    configuration, options = hadoop_configuration(), {}
    for prefix in HDFS:
        for suffix, value in dict(configuration.getPropsWithPrefix(prefix)).items():
            options[f"{prefix}{suffix}"] = value
    return options
