"""Cameras for tests: a video behind an HTTP or RTSP address on this machine, which can drop and come back."""

import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

PACKET = 188  # bytes of MPEG-TS


def encoded(frames: NDArray[np.uint8], kind: str = "mpegts", codec: str = "libx264", rate: int = 25) -> bytes:
    """A video (t, h, w) in memory, each frame decodable soon after the last one."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return file.getvalue()


class Camera:
    """A server on a port of this machine; each connection gets the next of its programmes, the last one again."""

    def __init__(self, programmes: list[bytes], seconds: float, kind: str = "video/mp2t") -> None:
        self.programmes = programmes
        self.seconds = seconds  # that one programme takes to send
        self.kind = kind
        self.connections = 0
        self.away = threading.Event()  # set: nobody is let in
        self.over = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def serve(self) -> None:
        self.socket.settimeout(0.05)
        while not self.over.is_set():
            with suppress(TimeoutError):
                connection, _ = self.socket.accept()
                connection.setblocking(True)
                threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if self.away.is_set():
                return
            self.connections += 1
            self.talk(connection, self.programmes[min(self.connections, len(self.programmes)) - 1])

    def talk(self, connection: socket.socket, programme: bytes) -> None:
        connection.recv(65536)
        connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Type: {self.kind}\r\nConnection: close\r\n\r\n".encode())
        for part in self.paced(programme, 7 * PACKET):
            connection.sendall(part)

    def paced(self, programme: bytes, size: int) -> Iterator[bytes]:
        begin = time.monotonic()
        for start in range(0, len(programme), size):
            ahead = begin + self.seconds * start / len(programme) - time.monotonic()
            if self.over.wait(max(ahead, 0)):
                return
            yield programme[start : start + size]


class RtspCamera(Camera):
    """The same with RTSP: MPEG-TS in RTP packets, interleaved with the talk (RFC 2326, RFC 2250)."""

    def talk(self, connection: socket.socket, programme: bytes) -> None:
        sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:one\r\n"
        extra = {
            "OPTIONS": "Public: DESCRIBE, SETUP, PLAY\r\n\r\n",
            "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}",
            "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n",
            "PLAY": "Session: 1\r\n\r\n",
        }
        request = ""
        while not request.startswith("PLAY"):
            request = connection.recv(65536).decode()
            if not request:
                return
            number = next(line for line in request.splitlines() if line.lower().startswith("cseq"))
            connection.sendall(f"RTSP/1.0 200 OK\r\n{number}\r\n{extra[request.split()[0]]}".encode())
        for count, part in enumerate(self.paced(programme, 7 * PACKET)):
            stamp = int(time.monotonic() * 90000) & 0xFFFFFFFF
            header = struct.pack(">BBHII", 0x80, 33, count & 0xFFFF, stamp, 1)
            connection.sendall(struct.pack(">cBH", b"$", 0, len(header) + len(part)) + header + part)


@contextmanager
def serving(camera: Any) -> Iterator[Any]:
    """A camera that is on while the block runs."""
    thread = threading.Thread(target=camera.serve, daemon=True)
    thread.start()
    try:
        yield camera
    finally:
        camera.over.set()
        thread.join()
        camera.socket.close()
