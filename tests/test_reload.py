"""Reload, whole or not at all."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import trustme

from exporter.errors import Reason
from exporter.simulator import Simulator, SimulatorOptions
from tests.api.proxy import Recorder, listening
from tests.carrier_truth import labels
from tests.running import Running, configuration, listing, running, write

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from exporter.config import Loaded


async def reload(exporter: Running) -> tuple[int, str]:
    answer = await exporter.http.post("/-/reload")
    return answer.status_code, answer.text


async def test_unchanged_properties_keep_their_data_and_a_dropped_one_goes_whole(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=3, trunks=5)) as simulator:
        kept, dropped, added = simulator.carrier.property_sids
        path = write(tmp_path, simulator, configuration(simulator, accounts=listing(kept, dropped)))
        async with running(path) as exporter:
            await exporter.ready()
            asked = simulator.requests.by_property[kept]
            before = await exporter.samples()
            path.write_text(
                configuration(simulator, accounts=listing(kept, added), poll="interval: 1d, stale_after: 2d")
            )
            assert await reload(exporter) == (200, "reloaded\n")
            await exporter.until(lambda: exporter.daemon.poller.properties[added].health.polls == 1)
            after = await exporter.samples()
        assert simulator.requests.by_property[kept] == asked

    def of(sid: str, samples: dict[str, dict[frozenset[tuple[str, str]], float]]) -> dict[str, object]:
        return {
            name: {key: value for key, value in values.items() if ("property_sid", sid) in key}
            for name, values in samples.items()
            if any(("property_sid", sid) in key for key in values)
        }

    assert of(kept, after) == of(kept, before)
    assert of(dropped, before) != {}
    assert of(dropped, after) == {}
    assert after["siptrunk_property_up"][labels(property_sid=added)] == 1
    assert after["siptrunk_exporter_poll_interval_seconds"][labels()] == 86400


async def test_a_bad_configuration_changes_nothing_and_says_why(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=5)) as simulator:
        path = write(tmp_path, simulator)
        async with running(path) as exporter:
            await exporter.ready()
            before = (await exporter.http.get("/config")).text
            path.write_text("accounts: []\npol: {}\n")
            status, text = await reload(exporter)
            bad = await exporter.samples()
            assert (await exporter.http.get("/config")).text == before
            write(tmp_path, simulator)
            assert (await reload(exporter))[0] == 200
            good = await exporter.samples()
    assert status == 500
    assert f"{path}:2:1: unknown key 'pol': did you mean 'poll'?" in text
    name = "siptrunk_exporter_config_last_reload_successful"
    assert (bad[name][labels()], good[name][labels()]) == (0, 1)
    stamp = "siptrunk_exporter_config_last_reload_success_timestamp_seconds"
    assert good[stamp][labels()] > bad[stamp][labels()]
    assert len(bad["siptrunk_channel_limit"]) == len(good["siptrunk_channel_limit"]) > 0


async def test_a_token_that_goes_while_the_configuration_is_read_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=5)) as simulator:
        path = write(tmp_path, simulator)
        async with running(path) as exporter:
            await exporter.ready()
            before = exporter.daemon.config
            (tmp_path / "other").write_text("another token")
            path.write_text(path.read_text().replace("token_file: token", "token_file: other"))
            load = exporter.daemon._load  # noqa: SLF001 - there is no other way to come between

            def load_and_lose() -> Loaded:
                loaded = load()
                (tmp_path / "other").unlink()
                return loaded

            monkeypatch.setattr(exporter.daemon, "_load", load_and_lose)
            status, text = await reload(exporter)
            assert exporter.daemon.config is before
    assert status == 500
    assert f"{path}:3:5: " in text


async def test_a_renamed_property_keeps_its_data_and_other_filters_begin_anew(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=30)) as simulator:
        (sid,) = simulator.carrier.property_sids
        path = write(tmp_path, simulator, configuration(simulator, accounts=listing(sid, name="Old")))
        async with running(path) as exporter:
            await exporter.ready()
            every = await exporter.samples()
            path.write_text(configuration(simulator, accounts=listing(sid, name="New")))
            await reload(exporter)
            renamed = await exporter.samples()
            path.write_text(configuration(simulator, accounts=listing(sid, filters="{active: false}")))
            await reload(exporter)
            restarted = await exporter.samples()
            await exporter.until(lambda: exporter.daemon.poller.properties[sid].health.polls == 1)
            filtered = await exporter.samples()
    account = simulator.options.account_sid
    assert set(renamed["siptrunk_property_info"]) == {labels(property_sid=sid, account_sid=account, name="New")}
    assert renamed["siptrunk_info"] == every["siptrunk_info"]
    assert "siptrunk_info" not in restarted
    assert set(filtered["siptrunk_active"].values()) == {0}


async def test_what_is_published_changes_at_once_without_a_poll(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=5)) as simulator:
        (sid,) = simulator.carrier.property_sids
        path = write(tmp_path, simulator)
        async with running(path) as exporter:
            await exporter.ready()
            asked = simulator.requests.by_property[sid]
            metrics = "info_labels: [name], exclude: [siptrunk_active, siptrunk_exporter_api_requests_total]"
            path.write_text(configuration(simulator, metrics=metrics, poll="interval: 1d, stale_after: 2d"))
            await reload(exporter)
            samples = await exporter.samples()
            assert simulator.requests.by_property[sid] == asked
    assert "siptrunk_active" not in samples
    assert "siptrunk_exporter_api_requests_total" not in samples
    assert {tuple(sorted(dict(key))) for key in samples["siptrunk_info"]} == {("name", "property_sid", "trunk_sid")}


async def test_rejected_credentials_are_tried_again_at_once_when_the_configuration_is_reloaded(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=5)) as simulator:
        (sid,) = simulator.carrier.property_sids
        simulator.fail(sid, "401")
        path = write(tmp_path, simulator, configuration(simulator, accounts=listing(sid)))
        async with running(path) as exporter:
            await exporter.ready()
            simulator.heal(sid)
            await reload(exporter)
            await exporter.until(lambda: exporter.daemon.poller.properties[sid].health.up is True)


async def test_a_new_token_in_the_file_is_used_at_once(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=5, token="the-new-one")) as simulator:
        (sid,) = simulator.carrier.property_sids
        path = write(tmp_path, simulator, configuration(simulator, accounts=listing(sid)))
        (tmp_path / "token").write_text("the-old-one")
        async with running(path) as exporter:
            await exporter.ready()
            assert exporter.daemon.poller.properties[sid].health.up is False
            (tmp_path / "token").write_text("the-new-one")
            await exporter.until(lambda: exporter.daemon.poller.properties[sid].health.up is True)


async def test_a_changed_api_section_is_taken_up_by_the_polls_that_follow(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=30, exact=True)) as simulator:
        (sid,) = simulator.carrier.property_sids
        path = write(tmp_path, simulator, configuration(simulator, accounts=listing(sid)))
        async with running(path) as exporter:
            await exporter.ready()
            path.write_text(configuration(simulator, accounts=listing(sid), api="page_size: 13, timeout: 3s"))
            await reload(exporter)
            await exporter.poll(sid)
        assert simulator.requests.seen[-1].query["Results_Count"] == "13"


async def test_another_api_is_another_world(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=5, seed=1)) as first,
        Simulator(SimulatorOptions(properties=1, trunks=5, seed=2)) as second,
    ):
        path = write(tmp_path, first)
        async with running(path) as exporter:
            await exporter.ready()
            path.write_text(configuration(second))
            await reload(exporter)
            (sid,) = second.carrier.property_sids
            await exporter.until(lambda: exporter.daemon.snapshot.get(sid) is not None)
            await exporter.until(lambda: exporter.daemon.poller.properties[sid].health.up is True)
            samples = await exporter.samples()
        assert {dict(key)["property_sid"] for key in samples["siptrunk_info"]} == {sid}


async def test_certificates_that_cannot_be_read_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=5)) as simulator:
        path = write(tmp_path, simulator)
        async with running(path) as exporter:
            await exporter.ready()
            before = exporter.daemon.config
            changed = configuration(simulator, api="timeout: 9s", metrics="detail: property")
            path.write_text(changed.replace("http:", "https:"))
            with monkeypatch.context() as patched:
                patched.setenv("SSL_CERT_FILE", str(tmp_path / "gone"))
                status, text = await reload(exporter)
            samples = await exporter.samples()
            assert exporter.daemon.config is before
            assert exporter.daemon.poller.ready
    assert status == 500
    assert "the old configuration stays" in text
    assert samples["siptrunk_exporter_config_last_reload_successful"][labels()] == 0
    assert "siptrunk_channel_limit" in samples


async def test_limits_hold_from_the_next_poll_on_and_are_published(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=5)) as simulator:
        (sid,) = simulator.carrier.property_sids
        path = write(tmp_path, simulator)
        async with running(path) as exporter:
            await exporter.ready()
            whole = await exporter.samples()
            path.write_text(configuration(simulator, limits="trunks_per_property: 2"))
            assert (await reload(exporter))[0] == 200
            await exporter.poll(sid)
            refused = await exporter.samples()

    keys = ("trunks_per_property", "properties_per_account", "label_bytes")

    def limits(samples: dict[str, dict[frozenset[tuple[str, str]], float]]) -> list[float]:
        return [samples["siptrunk_exporter_limit"][labels(limit=key)] for key in keys]

    assert (limits(whole), limits(refused)) == ([100_000, 20_000, 1024], [2, 20_000, 1024])
    assert len(whole["siptrunk_channel_limit"]) == len(refused["siptrunk_channel_limit"]) > 2
    assert refused["siptrunk_property_up"][labels(property_sid=sid)] == 0
    assert refused["siptrunk_property_poll_failures_total"][labels(property_sid=sid, reason=str(Reason.TOO_LARGE))] == 1


async def test_an_authority_whose_file_changes_is_trusted_from_the_next_poll_on(tmp_path: Path) -> None:
    trusted, ca_file = trustme.CA(), tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca_file)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusted.issue_cert("localhost").configure_cert(tls)
    body = b'{"SipTrunks":[{"SipTrunkSid":"ST1","ChannelLimit":3}],"TotalCount":1}'
    api = Recorder(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    async with listening(api.serve, tls) as port:
        path = tmp_path / "exporter.yaml"
        path.write_text(
            f"api: {{base_url: 'https://localhost:{port}', ca_file: ca.pem}}\npoll: {{interval: 1s}}\n"
            "accounts: [{account_sid: A1, token: made up, properties: [{sid: S1}]}]\n"
        )
        async with running(path) as exporter:
            poller = exporter.daemon.poller.properties["S1"]
            await exporter.until(lambda: poller.health.up is False)
            failures = poller.health.failures
            trusted.cert_pem.write_to_path(ca_file)
            os.utime(ca_file, (1, 1))
            await exporter.until(lambda: poller.health.up is True)
            samples = await exporter.samples()
    assert failures[Reason.TLS] == 1
    assert samples["siptrunk_channel_limit"][labels(property_sid="S1", trunk_sid="ST1")] == 3
