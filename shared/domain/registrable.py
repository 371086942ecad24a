"""
The registrable domain of a host name: what one owner has in the DNS, by the public suffix list.

The list comes with the package `publicsuffixlist`, is read from it once, and is never asked for over the network.
"""

from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

_NAMES_KEPT = 16_384  # names remembered; at the bound the one not asked for longest is looked up anew
_NAME_LENGTH_MAX = 255  # no name of the DNS is longer


@lru_cache(_NAMES_KEPT)
def registrable_domain(host: str) -> str:
    """
    The domain that the owner of *host*, in lower case, has registered: `contoso.co.uk` for `ex01.contoso.co.uk`.

    "" for a public suffix itself, an address, and a name below no known suffix, such as `ex01.contoso.local`: nobody owns that.
    """
    if len(host) > _NAME_LENGTH_MAX or "." not in host or not host.isascii():
        return ""
    return _list().privatesuffix(host) or ""


def same_owner(host: str, other: str) -> bool:
    """Whether both names, in lower case, lie in one registrable domain."""
    owner = registrable_domain(host)
    return bool(owner) and owner == registrable_domain(other)


@cache
def _list() -> PublicSuffixList:
    # Names below no suffix of the list are nobody's: `.local` and the like must tie nothing to anything.
    return PublicSuffixList(accept_unknown=False)
