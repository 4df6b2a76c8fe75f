"""A server with a thread for each connection and one planted cause: `server.py PORT CAUSE FOLDER`."""

import fcntl
import http.server
import mmap
import os
import random
import socket
import subprocess
import sys
import time

PORT, CAUSE, FOLDER = int(sys.argv[1]), sys.argv[2], sys.argv[3]
MAPPED = 128 << 20


def mapped_file():
    path = FOLDER + "/mapped"
    with open(path, "wb") as file:
        for _ in range(MAPPED >> 20):
            file.write(b"x" * (1 << 20))
        file.flush()
        os.fsync(file.fileno())
    file = open(path, "rb")
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    memory = mmap.mmap(file.fileno(), MAPPED, prot=mmap.PROT_READ)
    memory.madvise(mmap.MADV_RANDOM)
    return file, memory


FILE, MEMORY = mapped_file() if CAUSE == "faults" else (None, None)


def work():
    if CAUSE == "flock":
        with open(FOLDER + "/lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            time.sleep(0.004)
    elif CAUSE == "sleep":
        time.sleep(0.004)
    elif CAUSE == "spawn":
        subprocess.run(["/bin/sh", "-c", "true"], check=True)
    elif CAUSE == "faults":
        for _ in range(40):
            at = random.randrange(MAPPED // mmap.PAGESIZE) * mmap.PAGESIZE
            MEMORY.madvise(mmap.MADV_DONTNEED, at, mmap.PAGESIZE)
            os.posix_fadvise(FILE.fileno(), at, mmap.PAGESIZE, os.POSIX_FADV_DONTNEED)
            MEMORY[at]
    elif CAUSE == "burn":
        end = time.thread_time() + 0.005
        while time.thread_time() < end:
            pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body = b"x" * 1_000_000 if CAUSE == "big" else b"ok\n"

    def setup(self):
        super().setup()
        if CAUSE == "big":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)

    def do_GET(self):
        work()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.body) + self.body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
