"""What may be fetched: the policy, and the judgement of URLs, hosts and addresses under it."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.domain.errors import FetchForbidden

_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)
#: how browsers and libc write addresses without being asked to: 127.1, 2130706433, 0x7f.1
_NUMBER = re.compile(r"([0-9]+|0x[0-9a-f]*)", re.ASCII)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052


@dataclass(frozen=True)
class DownloadPolicy:
    """What may be fetched, and how patiently."""

    #: hosts in lower case: a name matches itself; `*.name` matches what ends in `.name` at any depth, not `name`
    hosts: tuple[str, ...]
    #: also http, any port, addresses in place of names, and private addresses; the hosts still apply
    insecure: bool
    #: a larger file is refused
    max_bytes: int
    #: seconds for one fetch, redirects and all
    deadline: float
    #: bytes per second, over any `rate_window`; less is too slow
    min_rate: float
    #: seconds to reach one address
    connect_timeout: float = 5
    #: seconds without a byte
    read_timeout: float = 30
    #: folder of the temporary files; None: the system's
    temp_dir: str | None = None
    #: a file with more bytes than this is kept in pieces while it arrives, each of so many bytes
    large: int = 16 * 1024 * 1024
    piece: int = 8 * 1024 * 1024
    #: seconds over which the rate is taken; the first window is grace
    rate_window: float = 10


def secure_url(url: str, policy: DownloadPolicy) -> str:
    """The URL with https in place of http, where only https is allowed: the vendor's own examples say http (veo-api §4)."""
    if policy.insecure or not url.casefold().startswith("http://"):
        return url
    return f"https://{url[len('http://') :]}"


def judge_url(url: str, policy: DownloadPolicy) -> None:
    """Refuse a URL that the policy does not allow. Looks nothing up.

    :raises FetchForbidden:
    """
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise FetchForbidden("the URL holds a blank, a control character or a backslash")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise FetchForbidden("the URL is malformed") from None
    if parts.scheme != "https" and not (policy.insecure and parts.scheme == "http"):
        raise FetchForbidden(f"scheme '{parts.scheme}' is not allowed")
    if "@" in parts.netloc:
        raise FetchForbidden("the URL holds a user name")
    judge_host(host, policy)
    if port not in (None, 443) and not policy.insecure:
        raise FetchForbidden(f"port {port} is not allowed")


def judge_host(host: str, policy: DownloadPolicy) -> None:
    """Refuse a host that is not on the list, or is an address in any notation.

    :param host: in lower case, IPv6 without brackets
    :raises FetchForbidden:
    """
    is_address = ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None
    if is_address and not policy.insecure:
        raise FetchForbidden(f"host '{host}' is an address, not a name")
    if ":" not in host and not _HOST.fullmatch(host):
        raise FetchForbidden("the host is not a plain name")  # a trailing dot, percent signs, letters beyond ASCII
    if not any(host == entry or (entry.startswith("*.") and host.endswith(entry[1:])) for entry in policy.hosts):
        raise FetchForbidden(f"host '{host}' is not on the list")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet; what carries an IPv4 address is judged by that."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried is not None:
            return is_public(str(carried))
        if ip.is_site_local:  # deprecated (RFC 3879), and global for Python 3.11
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
