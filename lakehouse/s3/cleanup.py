"""S3 cleanup: unfinished uploads and old keys of the start-up probe, left by crashes -> deleted.

No table refers to them, and no listing of files shows an upload, yet the server keeps (and bills) its parts.
"""

from __future__ import annotations

from collections.abc import Iterable

from lakehouse.s3.probe import PROBE_FOLDER, TIMEOUT_S, s3_errors
from lakehouse.s3.store import ObjectStore


def abort_uploads(store: ObjectStore, tables: Iterable[str], age_h: float, dry_run: bool, now_s: float) -> list[str]:
    """Abort uploads below `tables` that began more than `age_h` before `now_s`; return their keys.

    Raises:
        StoreError: Not all uploads could be aborted; the same call may be repeated.
    """
    client, aborted = store.client(TIMEOUT_S), []
    with s3_errors(store, "unfinished uploads cannot be cleaned up"):
        for table in tables:
            pages = client.get_paginator("list_multipart_uploads").paginate(
                Bucket=store.bucket, Prefix=_key(store, table) + "/"
            )
            for upload in (each for page in pages for each in page.get("Uploads", ())):
                if now_s - upload["Initiated"].timestamp() < age_h * 3600:
                    continue
                aborted.append(upload["Key"])
                if not dry_run:
                    client.abort_multipart_upload(Bucket=store.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return aborted


def delete_probes(store: ObjectStore, age_h: float, dry_run: bool, now_s: float) -> list[str]:
    """Delete the keys of killed probes; return the keys.

    Raises:
        StoreError: Not all keys could be deleted; the same call may be repeated.
    """
    client = store.client(TIMEOUT_S)
    with s3_errors(store, "keys of old probes cannot be deleted"):
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=store.bucket, Prefix=_key(store, PROBE_FOLDER) + "/"
        )
        found = [each for page in pages for each in page.get("Contents", ())]
        old = [each["Key"] for each in found if now_s - each["LastModified"].timestamp() >= age_h * 3600]
        for key in () if dry_run else old:
            client.delete_object(Bucket=store.bucket, Key=key)
    return old


def _key(store: ObjectStore, name: str) -> str:
    return "/".join(filter(None, (store.prefix, name)))
