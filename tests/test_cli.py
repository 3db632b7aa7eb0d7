"""The commands as a user runs them: processes, exit statuses, standard output and standard error."""

from __future__ import annotations

import asyncio
import signal
import socket
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from exporter.cli import main
from exporter.daemon import Address, Serving
from exporter.demo import greeting
from exporter.simulator import Simulator, SimulatorOptions
from tests.carrier_truth import labels
from tests.running import asking, command, configuration, finished, parse, write

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

HERE = "--web.listen-address=127.0.0.1:0"


async def get(address: str, path: str) -> httpx.Response:
    async with asking(address) as http:
        return await http.get(path)


async def test_serve_is_what_it_does_without_a_command_until_it_is_told_to_stop(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        path = write(tmp_path, simulator)
        for words in ((f"--config.file={path}", HERE), ("serve", "--config.file", path, HERE)):
            async with command(*words) as exporter:
                address = (await exporter.logged("listening"))["addresses"]
                assert (await get(address, "/config")).status_code == 200
                assert await exporter.stop(signal.SIGTERM) == 0


async def test_it_listens_on_every_address_given_and_has_the_metrics_where_they_are_wanted(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        path = write(tmp_path, simulator)
        words = (f"--config.file={path}", HERE, "--web.listen-address=[::1]:0", "--web.telemetry-path=/trunks")
        async with command(*words) as exporter:
            addresses = (await exporter.logged("listening"))["addresses"].split()
            answers = [(await get(each, "/trunks")).status_code for each in addresses]
            page = (await get(addresses[0], "/")).text
            assert (await get(addresses[0], "/metrics")).status_code == 404
    assert [address.rpartition(":")[0] for address in addresses] == ["127.0.0.1", "[::1]"]
    assert answers == [200, 200]
    assert 'href="trunks"' in page


def test_the_demo_is_for_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Serving] = []

    async def serve(serving: Serving) -> None:
        served.append(serving)

    monkeypatch.setattr("exporter.demo.run", serve)
    assert main(["demo"]) == 0
    assert served == [Serving((Address("127.0.0.1", 15060),))]


@pytest.mark.parametrize(
    ("words", "ports"),
    [
        (["demo"], [15060]),
        (["--web.listen-address=:1", "demo"], [1]),
        (["demo", "--web.listen-address=:2", "--web.listen-address=:3"], [2, 3]),
        (["--web.listen-address=:1", "demo", "--web.listen-address=:2"], [1, 2]),
    ],
)
def test_addresses_before_and_after_the_command_add_up(
    words: list[str], ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Serving] = []

    async def serve(serving: Serving) -> None:
        served.append(serving)

    monkeypatch.setattr("exporter.demo.run", serve)
    assert main(words) == 0
    assert [address.port for address in served[0].addresses] == ports


@pytest.mark.parametrize(("host", "told"), [("::", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")])  # noqa: S104 - told of
async def test_the_demo_tells_an_address_that_can_be_opened(host: str, told: str) -> None:
    async with Simulator(SimulatorOptions()) as simulator:
        assert f" http://{told}:15060/metrics " in greeting(Address(host, 15060), "/metrics", simulator)


async def test_a_hangup_reloads_and_a_bad_configuration_is_named_in_the_log(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        path = write(tmp_path, simulator)
        async with command(f"--config.file={path}", HERE) as exporter:
            address = (await exporter.logged("listening"))["addresses"]
            path.write_text(configuration(simulator, poll="interval: 77s"))
            exporter.process.send_signal(signal.SIGHUP)
            await exporter.logged("configuration reloaded")
            assert "interval: 1m17s" in (await get(address, "/config")).text
            path.write_text("nonsense: 1")
            exporter.process.send_signal(signal.SIGHUP)
            line = await exporter.logged("configuration not reloaded")
            assert f"{path}:1:1: unknown key 'nonsense'" in line["msg"]
            assert "interval: 1m17s" in (await get(address, "/config")).text
            assert await exporter.stop(signal.SIGINT) == 0


async def test_it_starts_and_stays_up_where_the_api_cannot_be_reached(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        accounts = f"properties: [{{sid: {simulator.carrier.property_sids[0]}}}]"
        path = write(tmp_path, simulator, configuration(simulator, accounts=accounts, api="max_attempts: 1"))
    async with command(f"--config.file={path}", HERE) as exporter:
        address = (await exporter.logged("listening"))["addresses"]
        assert (await exporter.logged("poll failed: connect"))["level"] == "warning"
        samples = parse((await get(address, "/metrics")).text)
        assert set(samples["siptrunk_property_up"].values()) == {0}
        assert "siptrunk_channel_limit" not in samples


async def test_an_address_in_use_or_a_bad_configuration_ends_with_1_and_a_sentence(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        path = write(tmp_path, simulator)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            status, _, errors = await finished(f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}")
    assert status == 1
    assert errors.splitlines()[-1].startswith("siptrunk-exporter: ")
    assert "Address already in use" in errors
    assert "Traceback" not in errors
    path.write_text("accounts: []\n")
    status, _, errors = await finished(f"--config.file={path}")
    assert (status, errors) == (1, f"{path}:1:11: expected a list of at least one account, not an empty list\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--web.listen-address", "15060"], "expected [HOST]:PORT like :15060"),
        (["--web.listen-address", "127.0.0.1:99999"], "expected [HOST]:PORT"),
        (["--web.telemetry-path", "metrics"], "expected a path like /metrics"),
        (["--web.telemetry-path", "/-/ready"], "/-/ready is another endpoint"),
        (["--web.telemetry-path", "/changes"], "/changes is another endpoint"),
        (["--web.telemetry-path", "/properties/metrics"], "/properties/metrics is another endpoint"),
        (["--web.telemetry-path", "//host"], "expected a path like /metrics"),
        (["--log.level", "loud"], "invalid choice: 'loud'"),
        (["serv"], "invalid choice: 'serv'"),
        (["check", "--liv"], "unrecognized arguments: --liv"),
        (["simulate", "--error-rate", "2"], "--error-rate"),
        (["--shard=1/2", "demo"], "error: demo does not take --shard"),
        (["--web.listen-address=:1", "check"], "error: check does not take --web.listen-address"),
        (["--web.enable-lifecycle", "--config.file=x", "simulate"], "error: simulate does not take --config.file"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_was_expected(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_an_interrupted_command_ends_as_shells_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_arguments: object, **_options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("exporter.oneshot.check", interrupted)
    assert main(["check"]) == 130


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"siptrunk-exporter {version('siptrunk-exporter')} (Python ")


async def test_check_prints_every_fault_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "exporter.yaml"
    path.write_text("api: {timeout: 5}\naccounts: []\npol: {}\n")
    status, output, errors = await finished("check", f"--config.file={path}")
    assert (status, errors) == (1, "")
    assert output.splitlines() == [
        f"{path}:1:16: expected a duration like 90s or 1m30s, not '5'",
        f"{path}:2:11: expected a list of at least one account, not an empty list",
        f"{path}:3:1: unknown key 'pol': did you mean 'poll'?",
    ]


async def test_check_accepts_the_example_and_warns_of_its_token() -> None:
    status, output, _ = await finished("check", "--config.file=exporter.yaml")
    warning, verdict = output.splitlines()
    assert status == 0
    assert warning.startswith("exporter.yaml:25:12: warning: everybody who may read this file may read the token")
    assert verdict.startswith("exporter.yaml: good")


async def test_check_live_asks_once_for_each_account_and_property_and_names_the_place_of_each_refusal(
    tmp_path: Path,
) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        ill, well = simulator.carrier.property_sids
        path = write(tmp_path, simulator)
        path.write_text(
            f"api: {{base_url: {simulator.base_url}}}\naccounts:\n"
            f"- account_sid: {simulator.options.account_sid}\n  token_file: token\n  properties:\n"
            f"  - sid: {well}\n  - sid: {ill}\n"
        )
        assert (await finished("check", "--live", f"--config.file={path}"))[0] == 0
        asked = dict(simulator.requests.by_endpoint)
        simulator.fail(ill, "403")
        status, output, _ = await finished("check", "--live", f"--config.file={path}")
    assert asked == {"properties": 1, "trunks": 2}
    assert status == 1
    assert output.splitlines()[0].startswith(f"{path}:7:5: forbidden: HTTP 403 Forbidden: Forbidden: ")


async def test_once_prints_the_exposition_and_fails_where_a_property_does(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        ill, well = simulator.carrier.property_sids
        path = write(tmp_path, simulator, configuration(simulator, api="max_attempts: 1"))
        simulator.fail(ill, "500")
        status, output, errors = await finished("once", f"--config.file={path}")
        samples = parse(output)
        alone = await finished("once", f"--config.file={path}", "--property", well)
        unknown = await finished("once", f"--config.file={path}", "--property", "SNOBODY")
    assert status == 1
    assert errors.splitlines()[-1].startswith(f"property {ill}: server_error: HTTP 500 Internal Server Error: ")
    assert samples["siptrunk_property_up"] == {labels(property_sid=ill): 0, labels(property_sid=well): 1}
    assert not any(name.startswith(("process_", "python_")) for name in samples)
    assert alone[0] == 0
    assert set(parse(alone[1])["siptrunk_property_up"]) == {labels(property_sid=well)}
    assert unknown[0] == 1
    assert unknown[2].splitlines()[-1] == "property SNOBODY: neither configured nor discovered"


async def test_what_expect_prints_can_be_pasted_and_then_nothing_drifts_until_something_changes(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=30)) as simulator:
        path = write(tmp_path, simulator)
        status, output, _ = await finished("expect", f"--config.file={path}")
        assert status == 0
        path.write_text(configuration(simulator, accounts=f"properties:\n{output}"))
        _, before, _ = await finished("once", f"--config.file={path}")
        sid = simulator.carrier.property_sids[0]
        gone = simulator.carrier.trunks(sid)[0].sip_trunk_sid
        simulator.carrier.remove(sid, gone)
        _, after, _ = await finished("once", f"--config.file={path}")

        for each in simulator.carrier.property_sids:
            assert f" of account {simulator.options.account_sid}\n      - sid: {each}\n" in output
            assert all(trunk.name in output for trunk in simulator.carrier.trunks(each))
    drift = parse(before)["siptrunk_drift"]
    trunks = sum(len(simulator.carrier.trunks(each)) for each in simulator.carrier.property_sids)
    # What is removed by now was there when it was asked for.
    assert len(drift) == (trunks + 1) * len(("missing", "unexpected", "channel_limit", "state", "type", "active"))
    assert set(drift.values()) == {0}
    assert [key for key, value in parse(after)["siptrunk_drift"].items() if value] == [
        labels(property_sid=sid, trunk_sid=gone, field="missing")
    ]


async def test_expect_says_what_it_could_not_see(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        ill, well = simulator.carrier.property_sids
        path = write(tmp_path, simulator, configuration(simulator, api="max_attempts: 1"))
        simulator.fail(ill, "500")
        status, output, errors = await finished("expect", f"--config.file={path}")
        alone = await finished("expect", f"--config.file={path}", "--property", well)
    assert status == 1
    assert (ill in output, well in output) == (False, True)
    assert errors.splitlines()[-1].startswith(f"property {ill}: server_error: ")
    assert alone[:2] == (0, output)


async def test_expect_fails_where_what_it_saw_first_is_too_old_in_the_end(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=3, trunks=3)) as simulator:
        text = configuration(simulator, poll="interval: 1s, stale_after: 1ms").replace("per_second: 0", "per_second: 1")
        status, output, errors = await finished("expect", f"--config.file={write(tmp_path, simulator, text)}")
        left_out = [sid for sid in simulator.carrier.property_sids if sid not in output]
    assert status == 1
    assert left_out
    assert all(f"property {sid}: its list is too old by now" in errors for sid in left_out)


async def test_expect_reminds_of_filters(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        (sid,) = simulator.carrier.property_sids
        accounts = f"properties: [{{sid: {sid}, filters: {{active: true}}}}]"
        path = write(tmp_path, simulator, configuration(simulator, accounts=accounts))
        status, _, errors = await finished("expect", f"--config.file={path}")
    assert status == 0
    assert f"property {sid}: only what its filters let through is expected: keep them beside" in errors


async def test_the_demo_serves_at_least_5_properties_and_200_trunks_and_says_where_to_look() -> None:
    async with command("demo", HERE) as exporter:
        address = (await exporter.logged("listening"))["addresses"]
        assert exporter.process.stdout
        said = await exporter.process.stdout.readuntil(b"Stop with Ctrl-C.\n")
        assert f"http://{address}/metrics" in said.decode()
        async with asking(address) as http:
            async with asyncio.timeout(30):
                while (await http.get("/-/ready")).status_code != 200:
                    pass
            samples = parse((await http.get("/metrics")).text)
        assert len(samples["siptrunk_property_info"]) >= 5
        assert len(samples["siptrunk_channel_limit"]) >= 200
        assert await exporter.stop() == 0


async def test_simulate_prints_a_configuration_that_works(tmp_path: Path) -> None:
    async with command("simulate", "--listen=127.0.0.1:0", "--properties=3", "--trunks=4") as simulator:
        assert simulator.process.stdout
        said = (await simulator.process.stdout.readuntil(b'include: ".*"}\n')).decode()
        path = tmp_path / "exporter.yaml"
        path.write_text(said.partition("An exporter.yaml for it:")[2])
        status, output, _ = await finished("once", f"--config.file={path}")
        assert await simulator.stop() == 0
    assert status == 0
    assert len(parse(output)["siptrunk_property_up"]) == 3
