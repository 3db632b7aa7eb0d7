"""What TLS trusts, and what it shows of itself; verification is always on."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from exporter.config import Api


def trust_files(context: ssl.SSLContext, api: Api) -> None:
    """Have a context trust the authorities of `ca_file`, if one is given; raises `OSError` or `ValueError`."""
    if api.ca_file:
        context.load_verify_locations(api.ca_file)


def show_files(context: ssl.SSLContext, api: Api) -> None:
    """Have a context show the certificate of `cert_file`, if one is given; raises `OSError` or `ValueError`."""
    if api.cert_file:
        # Without a password one would be asked for at the terminal.
        context.load_cert_chain(api.cert_file, api.key_file, password="")


def context_for(api: Api) -> ssl.SSLContext:
    """Make the context for the API, which trusts the usual authorities where none are named.

    Raises `OSError` or `ValueError` where a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if api.ca_file else httpx.create_ssl_context()
    trust_files(context, api)
    show_files(context, api)
    return context
