"""How the web process, which loads no boto3, reads the manifest of a generation that has left for the bucket: by a link."""

from collections.abc import Mapping
from datetime import UTC, datetime

from app.adapters.presign import Presigner
from app.domain.archive import ReadManifest
from app.domain.errors import StoreUnavailable

#: seconds for connecting and for each answer: somebody is waiting
TIMEOUT = (2.0, 3.0)


def read_by_link(presigner: Presigner, prefix: str, environment: Mapping[str, str]) -> ReadManifest:
    """:param environment: may name a certificate authority of the store's own, by boto3's variable"""
    trusted: str | bool = environment.get("AWS_CA_BUNDLE") or True

    def read(task_id: str) -> str | None:
        # Imported here: only what has been settled for months needs it in the web process.
        import requests

        key = f"{prefix}{task_id}/manifest.json"
        link = presigner.link(key, datetime.now(UTC))
        try:
            answer = requests.get(link, timeout=TIMEOUT, allow_redirects=False, verify=trusted)
        except (requests.RequestException, OSError) as error:
            # Not in its words: they hold the link, which lets in whoever has it.
            raise StoreUnavailable(f"read {key}: {type(error).__name__}") from None
        if answer.status_code == 404 and "NoSuchKey" in answer.text:
            return None
        if answer.status_code != 200:
            raise StoreUnavailable(f"read {key}: the store answered {answer.status_code}")
        return answer.content.decode(errors="replace")

    return read
