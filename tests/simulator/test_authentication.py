"""The simulator knows its account by its name and token, and nobody else."""

from __future__ import annotations

from base64 import b64encode

import httpx
import pytest

from exporter.simulator import DEFAULT_TOKEN
from tests.simulator.served import assert_refused, options, serve


@pytest.mark.parametrize(("user", "password"), [("", ""), ("A" * 32, DEFAULT_TOKEN), (None, "wrong")])
async def test_wrong_credentials_are_refused_with_401(user: str | None, password: str) -> None:
    async with serve(options()) as api:
        user = api.simulator.options.account_sid if user is None else user
        assert_refused(await api.client.get(api.path, auth=(user, password)), 401)


async def test_a_request_without_credentials_is_refused_with_401() -> None:
    async with serve(options()) as api, httpx.AsyncClient(trust_env=False) as stranger:
        assert_refused(await stranger.get(api.simulator.base_url + "/v2/Properties"), 401)


async def test_credentials_with_a_name_and_token_of_ones_own_are_taken() -> None:
    async with serve(options(account_sid="A" * 32, token="päss:word")) as api:
        assert (await api.get()).status_code == 200


CREDENTIALS = f"{options().account_sid}:{DEFAULT_TOKEN}"
ENCODED = b64encode(CREDENTIALS.encode()).decode()


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_the_scheme_is_basic_in_whatever_case(scheme: str) -> None:
    async with serve(options()) as api, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(api.simulator.base_url + api.path, headers={"Authorization": f"{scheme} {ENCODED}"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {ENCODED}",
        f"Digest {ENCODED}",
        f"Bearer {DEFAULT_TOKEN}",
        ENCODED,
        "Basic",
        f"Basic{ENCODED}",
        f"Basic {CREDENTIALS}",
        f"Basic {ENCODED[:-4]}",
        f"Basic {ENCODED} {ENCODED}",
        "Basic %%%",
    ],
)
async def test_another_scheme_and_malformed_basic_are_refused_with_401(header: str) -> None:
    async with serve(options()) as api, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(api.simulator.base_url + api.path, headers={"Authorization": header})
        assert_refused(answer, 401)
