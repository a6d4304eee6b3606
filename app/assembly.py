"""Where the parts are joined, for the processes that work: workers and command line. The web process joins its few by itself.

A part's module is imported when the part is made. Beat, Flower and most commands make few, and so load no boto3.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.adapters.celery_outlet import CeleryOutlet
from app.adapters.redis_ledger import RedisLedger
from app.pipeline.archive import reader_of
from app.pipeline.mirror import parts_prefix
from app.settings import Settings

if TYPE_CHECKING:
    from app.adapters.bucket import S3Bucket
    from app.adapters.downloader import Downloader
    from app.adapters.kie import KieVendor
    from app.adapters.notifier import HttpNotifier


@dataclass(frozen=True)
class Parts:
    """Everything that a step needs. Nothing is connected yet: each part connects on first use."""

    settings: Settings
    ledger: RedisLedger
    vendor: KieVendor | None
    fetcher: Downloader
    bucket: S3Bucket
    #: None: nobody wants events
    notifier: HttpNotifier | None
    #: set when the process is to stop
    stop: threading.Event


def assemble(settings: Settings) -> Parts:
    """Make the parts for a process."""
    from app.adapters.download_policy import DownloadPolicy
    from app.adapters.downloader import Downloader
    from app.adapters.kie import KieVendor

    stop, bucket = threading.Event(), open_bucket(settings)
    key = settings.kie_api_key.get_secret_value()
    return Parts(
        settings=settings,
        ledger=open_ledger(settings, leaves_room=False, bucket=bucket),
        vendor=KieVendor(key, settings.kie_base_url, form=settings.kie_api) if key else None,
        fetcher=Downloader(
            DownloadPolicy(
                hosts=settings.download_hosts,
                insecure=settings.download_insecure,
                max_bytes=settings.download_max_bytes,
                deadline=settings.download_deadline,
                min_rate=settings.download_min_rate,
            ),
            stop,
            wants_md5=bucket.wants_md5,
        ),
        bucket=bucket,
        notifier=open_notifier(settings),
        stop=stop,
    )


def open_bucket(settings: Settings) -> S3Bucket:
    """The bucket. Connects to nothing yet."""
    from app.adapters.bucket import S3Bucket

    return S3Bucket(settings.s3_bucket, probe=f"{parts_prefix(settings.s3_prefix)}checksum-probe")


def open_ledger(
    settings: Settings, timeout: float = 5.0, *, leaves_room: bool = True, bucket: S3Bucket | None = None
) -> RedisLedger:
    """The ledger, with a way to a broker elsewhere if there is one, and to the generations that have left for the bucket.

    :param leaves_room: see `RedisLedger`
    :param bucket: None: one of the settings
    """
    bucket = bucket or open_bucket(settings)
    return RedisLedger(
        settings.redis_url,
        broker_url=settings.broker,
        outlet=lambda: CeleryOutlet(settings.broker),
        timeout=timeout,
        leaves_room=leaves_room,
        events=bool(settings.events_url),
        read_manifest=reader_of(bucket, settings.s3_prefix) if bucket.name else None,
    )


def open_notifier(settings: Settings) -> HttpNotifier | None:
    """The way to whoever wants events; None: nobody does."""
    if not settings.events_url:
        return None
    from app.adapters.notifier import HttpNotifier

    secrets = [secret.get_secret_value() for secret in settings.events_secret]
    return HttpNotifier(settings.events_url, secrets, insecure=settings.events_insecure)
