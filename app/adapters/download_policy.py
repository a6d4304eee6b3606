"""What may be fetched: the policy, and the judgement of URLs, hosts and addresses under it."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.domain.errors import FetchFailed, FetchForbidden

_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)
#: how browsers and libc write addresses without being asked to: 127.1, 2130706433, 0x7f.1
_NUMBER = re.compile(r"([0-9]+|0x[0-9a-f]*)", re.ASCII)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
#: the middle of an address whose last 32 bits are an IPv4 address, but for one bit (RFC 5214)
_ISATAP = 0x00005EFE
#: all that has been given out to the public (RFC 4291); the rest is local, for groups, or nobody's
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
#: what Python, or its older versions, take for public
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # the host of a virtual machine on Azure
            "192.0.0.0/24",  # protocol assignments (RFC 6890); a cloud's metadata among them
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "2001::/23",  # protocol assignments (RFC 2928): Teredo, ORCHID, benchmarks
            "2002::/16",  # 6to4 (RFC 7526)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)


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
    #: bytes of a file that stay in memory until they are stored: writing most videos to a disk would cost more than hashing them
    in_memory: int = 8 * 1024 * 1024
    #: folder of the temporary files; None: the system's
    temp_dir: str | None = None
    #: a file with more bytes than this is kept in pieces while it arrives, each of so many bytes
    large: int = 16 * 1024 * 1024
    piece: int = 8 * 1024 * 1024
    #: bytes per second from which on keeping a file in pieces costs more than fetching it again
    keep_below: float = 64 * 1024 * 1024
    #: seconds over which the rate is taken; the first window is grace
    rate_window: float = 10
    #: bytes of the temporary files' disk that are left to others
    spare_disk: int = 64 * 1024**2
    #: the only port
    port: int = 443
    #: addresses that count as public although they are not: of a store of one's own
    also_public: frozenset[str] = frozenset()
    #: file of the certificates that are trusted; None: the public ones
    ca_file: str | None = None


def secure_url(url: str, policy: DownloadPolicy) -> str:
    """The URL with https in place of http, where only https is allowed: the vendor's own examples say http (veo-api §4)."""
    if policy.insecure or not url.casefold().startswith("http://"):
        return url
    return f"https://{url[len('http://') :]}"


def judge_letters(url: str) -> None:
    """Refuse a URL with letters that some leave out and some take for others. To be asked before anybody reads it.

    :raises FetchForbidden:
    """
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise FetchForbidden("the URL holds a blank, a control character or a backslash")


def judge_url(url: str, policy: DownloadPolicy) -> None:
    """Refuse a URL that the policy does not allow. Looks nothing up.

    :raises FetchForbidden:
    """
    judge_letters(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise FetchForbidden("the URL is malformed") from None
    if parts.scheme != "https" and not (policy.insecure and parts.scheme == "http"):
        raise FetchForbidden(f"scheme '{parts.scheme}' is not allowed")
    if "@" in parts.netloc:
        raise FetchForbidden("the URL holds a user name")
    if "[" in parts.netloc and ":" not in host:
        raise FetchForbidden("the host is not a plain name")  # [v1.name], which some read as a name
    judge_host(host, policy)
    judge_port(443 if port is None else port, policy)


def judge_port(port: int, policy: DownloadPolicy) -> None:
    """Refuse another port. :raises FetchForbidden:"""
    if port != policy.port and not policy.insecure:
        raise FetchForbidden(f"port {port} is not allowed")


def judge_host(host: str, policy: DownloadPolicy) -> None:
    """Refuse a host that is not on the list, or is an address in any notation.

    :param host: in lower case, IPv6 without brackets
    :raises FetchForbidden:
    """
    is_address = ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None
    if is_address and not policy.insecure:
        raise FetchForbidden(f"host '{host}' is an address, not a name")
    if ":" not in host and (len(host) > 253 or not _HOST.fullmatch(host)):
        raise FetchForbidden("the host is not a plain name")  # a trailing dot, percent signs, letters beyond ASCII
    if not any(host == entry or (entry.startswith("*.") and host.endswith(entry[1:])) for entry in policy.hosts):
        raise FetchForbidden(f"host '{host}' is not on the list")


def judge_addresses(host: str, addresses: Sequence[str], policy: DownloadPolicy) -> None:
    """Refuse a host of which any address is not public: one private among public ones is an attack or a mistake.

    :raises FetchFailed: not for ever: the name is on the list, and one bad answer of a name server must not lose a video
    """
    if policy.insecure:
        return
    if not all(address in policy.also_public or is_public(address) for address in addresses):
        raise FetchFailed(f"host '{host}' has an address that is not public")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet; what carries an IPv4 address is judged by that."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if any(ip in network for network in _NOT_PUBLIC):
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped
        if ip in _NAT64 or int(ip) >> 32 & 0xFDFFFFFF == _ISATAP:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried is not None and not is_public(str(carried)):
            return False
        if ip.ipv4_mapped or ip in _NAT64:
            return True
        return ip in _GLOBAL_UNICAST and ip.is_global
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
