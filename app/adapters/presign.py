"""Links by which a browser reads objects from the bucket, for a short time (AWS Signature Version 4, in the query).

The web process loads no boto3, and asks nobody: a link is made from the bucket's name and boto3's environment variables. Keys
that boto3 would find elsewhere (profiles, instance roles) are not known here, and then there are no links.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

#: seconds that a link is good for
LIFETIME = 900
#: buckets that can be part of a host name, also under TLS: a wildcard certificate is good for one label
_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", re.ASCII)
#: domains of AWS by the beginning of the region's name
_DOMAINS = {"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu"}


@dataclass(frozen=True)
class Presigner:
    """Makes links to one bucket's objects."""

    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    region: str = "us-east-1"
    #: of a store that is not AWS, or that is named by its address
    endpoint: str = ""

    @classmethod
    def from_environment(cls, bucket: str, environment: Mapping[str, str]) -> "Presigner | None":
        """By boto3's own variables; None: no bucket, or no keys among them."""
        keys = environment.get("AWS_ACCESS_KEY_ID", ""), environment.get("AWS_SECRET_ACCESS_KEY", "")
        if not bucket or not all(keys):
            return None
        return cls(
            bucket,
            *keys,
            session_token=environment.get("AWS_SESSION_TOKEN", ""),
            region=environment.get("AWS_DEFAULT_REGION") or "us-east-1",
            endpoint=environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL", ""),
        )

    @property
    def origin(self) -> str:
        """Where the links lead: scheme and host, as a Content-Security-Policy names them."""
        parts = urlsplit(self._base)
        return f"{parts.scheme}://{parts.netloc}"

    def link(self, key: str, at: datetime) -> str:
        """A link to read an object. :param at: when it begins to be good"""
        base = urlsplit(self._base)
        stamp = f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        path = f"{base.path}/{quote(key, safe='/~')}"
        fields = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.access_key}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(LIFETIME),
            "X-Amz-SignedHeaders": "host",
        }
        if self.session_token:
            fields["X-Amz-Security-Token"] = self.session_token
        signed = urlencode(sorted(fields.items()), quote_via=quote, safe="~")
        asked = f"GET\n{path}\n{signed}\nhost:{_host(self._base)}\n\nhost\nUNSIGNED-PAYLOAD"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
        secret = f"AWS4{self.secret_key}".encode()
        for part in scope.split("/"):
            secret = _hmac(secret, part)
        query = urlencode(fields, quote_via=quote, safe="~")
        return f"{base.scheme}://{base.netloc}{path}?{query}&X-Amz-Signature={_hmac(secret, text).hex()}"

    @property
    def _base(self) -> str:
        """What comes before the key. As the bucket adapter has it: by host name at AWS where that can be, else by path."""
        if self.endpoint:
            return f"{self.endpoint.rstrip('/')}/{self.bucket}"
        domain = next((domain for start, domain in _DOMAINS.items() if self.region.startswith(start)), "amazonaws.com")
        host = f"s3.{domain}" if self.region == "us-east-1" else f"s3.{self.region}.{domain}"
        return f"https://{self.bucket}.{host}" if _LABEL.fullmatch(self.bucket) else f"https://{host}/{self.bucket}"


def _host(url: str) -> str:
    """The Host header that a browser sends: a usual port is left out."""
    parts = urlsplit(url)
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.netloc.rpartition("@")[2] if parts.port != usual else parts.hostname or ""


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
