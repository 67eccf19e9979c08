"""Servers on the loopback interface: one of files that can lose connections, and one that speaks S3."""

from __future__ import annotations

import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3


class Web(http.server.ThreadingHTTPServer):
    """Serves the files below a directory, with ranges.

    ``losses`` counts down: while it is above zero, a request for a file is cut off after ``whole`` bytes.
    ``down``: every connection is closed at once. ``requests`` are the paths that were asked for.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.losses, self.whole, self.down, self.ranges = 0, 0, False, True
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """The URL of the directory, without a slash at its end."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients close connections when they have seen enough."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Web

    def log_message(self, format: str, *args: object) -> None:
        """Keep the output of tests clean."""

    def do_HEAD(self) -> None:
        self._send(head=True)

    def do_GET(self) -> None:
        self._send(head=False)

    def _send(self, head: bool) -> None:
        self.server.requests.append(self.path)
        path = self.server.root / self.path.partition("?")[0].lstrip("/")
        if self.server.down:
            self.close_connection = True
        elif path.is_dir():
            links = "".join(f'<a href="{each.name}{"/" * each.is_dir()}">x</a>' for each in path.iterdir())
            page = f'<a href="?C=N;O=D">sort</a><a href="../">up</a>{links}'.encode()
            self._answer(200, page, {"Content-Type": "text/html"}, head)
        elif path.is_file():
            self._file(path.read_bytes(), head)
        else:
            self._answer(404, b"", {}, head)

    def _file(self, data: bytes, head: bool) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked and self.server.ranges:
            first, last = int(asked[1]), min(int(asked[2]), len(data) - 1)
            about = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            self._answer(206, data[first : last + 1], about, head)
        else:
            self._answer(200, data, {} if self.server.ranges else {"Accept-Ranges": "none"}, head)

    def _answer(self, status: int, body: bytes, more: dict[str, str], head: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        if head:
            return
        if self.server.losses and status != 404:
            self.server.losses -= 1
            self.wfile.write(body[: self.server.whole])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body)


@contextmanager
def serving(root: Path) -> Iterator[Web]:
    """A web server of the files below ``root``."""
    with Web(root) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def s3_server(bucket: str) -> Iterator[dict[str, str]]:
    """moto's server in a process of its own, with one bucket; yields the environment that leads to it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(url)
            environment = {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "AKIATESTONLY",
                "AWS_SECRET_ACCESS_KEY": "very-secret-word",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            }
            s3_client(environment).create_bucket(Bucket=bucket)
            yield environment
        finally:
            process.terminate()


def s3_client(environment: dict[str, str]) -> Any:
    """A client of the server that ``environment`` leads to, which has nothing to do with fsspec."""
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


def s3_content(environment: dict[str, str], bucket: str) -> dict[str, bytes]:
    """Every object in the bucket, by its key."""
    client = s3_client(environment)
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
    return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def _wait(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=20).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)
