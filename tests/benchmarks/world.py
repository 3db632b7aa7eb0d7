"""What the stages have in common: the stand-in for the API, the exporter, and nginx serving what the exporter said."""

import gzip
import os
import pwd
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.benchmarks.processes import Process, running
from tests.benchmarks.scraper import Answer, scrape
from tests.programs import find

Result = TypeVar("Result")
ACCOUNT_SID, TOKEN = "ABENCHMARK0000000000000000000001", "no-secret"
TRUNKS, READY_SECONDS = 50, 120.0
NGINX = """\
daemon off; worker_processes 1; user {user}; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
    access_log off; sendfile on; gzip_static on; keepalive_timeout 1h; default_type "{content_type}";
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}/served; location = /up {{ return 200; }} }}
}}
"""


@dataclass(frozen=True)
class Bench:
    """A stage's run: its temporary folder, the scraper's process, and how large it is."""

    folder: Path
    scraper: Executor
    quick: bool
    properties: int

    def times(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def ask(self, do: Callable[..., Result], *arguments: object, **more: object) -> Result:
        """Have the scraper's process do something."""
        return self.scraper.submit(do, *arguments, **more).result()

    def scrape(self, port: int, path: str = "/metrics", **more: object) -> Answer:
        return self.ask(scrape, port, path, **more)


def carrier(bench: Bench, churn: int = 0, trunks: int = TRUNKS) -> AbstractContextManager[Process]:
    """Run the stand-in for the API, with so many changes a second, and so many trunks a property."""
    size = ("--properties", str(bench.properties), "--trunks", str(trunks), "--exact", "--churn", str(churn))
    flags = ("--listen", "127.0.0.1:0", "--shape", "object", "--account-sid", ACCOUNT_SID, "--token", TOKEN)
    command = (sys.executable, "-m", "exporter", "simulate", *flags, *size)
    return running(bench.folder / "simulate.log", command, r"http://127\.0\.0\.1:(\d+)", READY_SECONDS)


def exporter(bench: Bench, api: Process, interval: str) -> AbstractContextManager[Process]:
    """Run the exporter with all families, without a limit of requests; `interval` is that of the polls."""
    config = bench.folder / "exporter.yaml"
    (bench.folder / "token").write_text(TOKEN)
    config.write_text(
        f"api: {{base_url: 'http://127.0.0.1:{api.port}', requests_per_second: 0, max_concurrency: 20}}\n"
        f"poll: {{interval: {interval}, stale_after: 2h}}\n"
        f"accounts: [{{account_sid: {ACCOUNT_SID}, token_file: token, discover: {{}}}}]\n"
    )
    flags = ("--config.file", str(config), "--web.listen-address", "127.0.0.1:0", "--log.format", "json")
    command = (sys.executable, "-m", "exporter", "serve", *flags)
    return running(bench.folder / "exporter.log", command, r"\"addresses\": ?\"127\.0\.0\.1:(\d+)\"")


@contextmanager
def nginx(bench: Bench, content_type: str) -> Iterator[Process]:
    """Run nginx, serving the folder `served`; to who accepts gzip a file is the one beside it with `.gz`."""
    program, folder = find("nginx"), bench.folder
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = pwd.getpwuid(os.getuid()).pw_name
    (folder / "conf").write_text(NGINX.format(folder=folder, port=port, content_type=content_type, user=user))
    command = (program, "-e", "stderr", "-p", str(folder), "-c", "conf")
    with running(folder / "nginx.log", command, port) as process:
        process.until("/up", 15, 0.02)
        yield process


@contextmanager
def served(bench: Bench, churn: int = 0) -> Iterator[tuple[Process, Process, Answer, Answer]]:
    """Give the exporter, polling every 10 seconds, nginx, and the exposition that it has, as text and as gzip.

    nginx also has `/six`: the text as whoever compresses a file for nginx would have it.
    """
    find("nginx")
    folder = bench.folder / "served"
    folder.mkdir()
    with carrier(bench, churn) as api, exporter(bench, api, "10s") as subject:
        subject.until("/-/ready", READY_SECONDS, 0.05)
        packed = bench.scrape(subject.port, save=folder / "metrics.gz")
        text = bench.scrape(subject.port, coding="identity", save=folder / "metrics")
        (folder / "six").touch()
        (folder / "six.gz").write_bytes(gzip.compress((folder / "metrics").read_bytes(), 6))
        with nginx(bench, text.content_type) as server:
            bench.scrape(server.port)
            yield subject, server, text, packed
