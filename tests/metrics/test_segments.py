"""Segments in any order are one gzip file of their texts, for every reader of such files."""

from __future__ import annotations

import gzip
import subprocess
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics import segments
from exporter.metrics.segments import EMPTY, checksum, inflate, segment
from tests.programs import program

TEXTS = st.lists(st.binary(max_size=200) | st.binary(max_size=5).map(lambda text: text * 5000), max_size=6)


def packed(texts: list[bytes]) -> bytes:
    every = [segment(text) for text in texts]
    return b"".join(
        segments.gzip([each.deflated for each in every], *checksum((each.crc, each.size) for each in every))
    )


@given(TEXTS)
def test_segments_are_one_gzip_member_of_their_texts(texts: list[bytes]) -> None:
    reader = zlib.decompressobj(31)

    assert b"".join(texts) == gzip.decompress(packed(texts)) == reader.decompress(packed(texts))
    assert (reader.eof, reader.unused_data) == (True, b"")


@given(TEXTS)
def test_a_checksum_is_that_of_the_whole_text(texts: list[bytes]) -> None:
    every = [segment(text) for text in texts]

    assert checksum((each.crc, each.size) for each in every) == (zlib.crc32(b"".join(texts)), len(b"".join(texts)))


@given(TEXTS)
def test_unpacked_as_they_are_sent_they_are_their_texts_in_bounded_pieces(texts: list[bytes]) -> None:
    pieces = list(inflate(segment(text).deflated for text in texts))

    assert b"".join(texts) == b"".join(pieces)
    assert all(0 < len(piece) <= segments.PIECE for piece in pieces)


def test_a_large_text_is_unpacked_in_pieces() -> None:
    text = b"0123456789" * 10**6
    pieces = list(inflate([segment(text).deflated]))

    assert text == b"".join(pieces)
    assert len(pieces) >= len(text) // segments.PIECE


def test_no_text_takes_no_room() -> None:
    assert segment(b"") == EMPTY
    assert gzip.decompress(packed([])) == b""


def test_curl_takes_it() -> None:
    curl = program("curl")
    texts = [f"line {number}\n".encode() * number for number in range(300)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = packed(texts)
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        got = subprocess.run([curl, "-sS", "--noproxy", "*", "--compressed", url], check=True, capture_output=True)
        thread.join()
    assert b"".join(texts) == got.stdout
