from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

import pytest

from tests.secrets import holds


@pytest.mark.parametrize("user", ["", "a", "al", "ali", "alice", "S1234567890ABCDEF1234567890ABCDE"])
@pytest.mark.parametrize("secret", ["hunter2", "hunter2-of-the-drill", "0f9e8d7c6b5a49382716", "??>>~~ü"])
def test_a_secret_is_found_plain_and_in_every_header(user: str, secret: str) -> None:
    both = f"{user}:{secret}".encode()

    assert holds(f"Bearer {secret}", secret)
    assert holds(f"authorization=Basic {b64encode(both).decode()}", secret)
    assert holds(f'{{"sent": "{urlsafe_b64encode(both + b"tail").decode()}"}}', secret)


@pytest.mark.parametrize("text", ["", "hunter", "Basic " + b64encode(b"alice:bunter2").decode(), "aHVu"])
def test_what_is_no_secret_is_none(text: str) -> None:
    assert not holds(text, "hunter2")
