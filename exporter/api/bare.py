"""aiohttp, loaded without the certificates that it would load for itself.

When it is imported it makes two TLS contexts with all that OpenSSL trusts, which takes a sixth of the exporter's start.
Here each session is given a context of its own; if ever one was not, those of aiohttp now trust nobody.
"""

import os

__all__ = ["AiohttpTransport", "aiohttp"]

_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Where OpenSSL looks for what it trusts, if they are set."""

_before = {name: os.environ[name] for name in _PLACES if name in os.environ}
os.environ.update(dict.fromkeys(_PLACES, os.devnull))
try:
    import aiohttp
    from httpx_aiohttp import AiohttpTransport
finally:
    for _name in _PLACES:
        del os.environ[_name]
    os.environ.update(_before)
