"""The proxy on the way to the API, where the environment names one."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # no stub

import httpx


def is_loopback(host: str) -> bool:
    """Say whether a host name or address means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def proxy_for(url: str) -> httpx.Proxy | None:
    """Give the proxy for `url` by HTTPS_PROXY or HTTP_PROXY, ALL_PROXY and NO_PROXY, in either case; None for none.

    What is on this machine is reached without one, as Go's programs have it. Credentials are in the proxy's headers
    alone. Raises `ValueError` where the variable holds what is no proxy; as it may hold a password, it is not quoted.
    """
    parts = urlsplit(url)
    variables = getproxies_environment()
    named = variables.get(parts.scheme) or variables.get("all")
    if not named or is_loopback(parts.hostname or "") or proxy_bypass_environment(parts.netloc, variables):
        return None
    try:
        proxy = httpx.Proxy(named if "://" in named else f"http://{named}")
        good = proxy.url.scheme in ("http", "https") and bool(proxy.url.host and 0 < (proxy.url.port or 80) < 2**16)
        # A password with a stroke in it would be half a path, and that half would be told.
        good = good and proxy.url.path in ("", "/") and not proxy.url.query and not proxy.url.fragment
    except (ValueError, httpx.InvalidURL):
        good = False
    if not good:
        variable = f"{parts.scheme}_proxy" if parts.scheme in variables else "all_proxy"
        raise ValueError(f"{variable.upper()} in the environment must be like http://proxy.example:3128") from None
    if proxy.raw_auth:
        proxy.headers["Proxy-Authorization"] = "Basic " + b64encode(b":".join(proxy.raw_auth)).decode()
        proxy.auth = None
    return proxy
