"""What a secret looks like where it must not be seen."""

from __future__ import annotations

from base64 import b64encode


def holds(text: str, secret: str) -> bool:
    """Tell whether a text holds a secret: plain, or in base64, as the header of a request has it behind a user."""
    forms = {secret}
    data = secret.encode()
    for before in range(3):
        encoded = b64encode(bytes(before) + data).decode()
        # Of the digits, those whose bits are all the secret's own.
        own = encoded[(8 * before + 5) // 6 : 8 * (before + len(data)) // 6]
        forms |= {own, own.translate(str.maketrans("+/", "-_"))}
    return any(form in text for form in forms)
