"""Load on a real server: requests a second, times, statuses, memory; and what a kill leaves.

    python benchmarks/serve.py --clients 64 --seconds 60
    python benchmarks/serve.py --kill

Without --model it serves the quickstart of the working directory, as `medistill serve` does.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
from PIL import Image

from medistill.serve.index.case import case_id
from medistill.serve.index.index import open_index

WORDS = (
    "left pleural effusion",
    "enlarged heart",
    "no pneumothorax",
    "nodule in the right lung",
    "pacemaker",
)
WARM = 0.25
"""Share of the time that memory may grow in: caches and queues fill."""


class Server:
    """`medistill serve` as a process of its own."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        command = [sys.executable, "-m", "medistill", "serve", *arguments, "--port", "0", "--json"]
        self._log = log.open("a")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._log, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the server did not start: see {log}")
        url = urlsplit(json.loads(line)["url"])
        self.url = f"http://{url.netloc}"
        token = url.fragment.partition("=")[2]
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def resident(self) -> float:
        """Megabytes of the process and all it started."""
        return sum(_resident(pid) for pid in (self.process.pid, *self.children())) / 1e6

    def children(self) -> list[int]:
        return _below(self.process.pid)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self._log.close()
        return status


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _below(parent: int) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found += [int(path.parent.name), *_below(int(path.parent.name))]
    return found


class Load:
    """What many clients ask at once, and how it went."""

    def __init__(self, server: Server, seed: int = 0) -> None:
        self.server, self.random = server, random.Random(seed)
        with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as client:
            about = client.get("/v1/about").raise_for_status().json()
            hits = (
                client.post("/v1/search", json={"text": WORDS[0], "k": 50}).raise_for_status().json()["hits"]
            )
        self.findings = about["suggestions"]
        self.cases = [hit["case"] for hit in hits]
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.statuses: Counter[str] = Counter()
        self.memory: list[tuple[float, float]] = []

    async def run(self, clients: int, seconds: float) -> None:
        self.began = time.monotonic()
        self.end = self.began + seconds
        await asyncio.gather(self._watch(), *(self._client() for _ in range(clients)))

    async def _watch(self) -> None:
        while time.monotonic() < self.end:
            self.memory.append((time.monotonic() - self.began, self.server.resident()))
            await asyncio.sleep(1.0)

    async def _client(self) -> None:
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(
            base_url=self.server.url, headers=self.server.headers, timeout=60, limits=limits
        ) as client:
            while time.monotonic() < self.end:
                await self._one(client)

    async def _one(self, client: httpx.AsyncClient) -> None:
        method, path, options = self._request()
        route = "/v1/cases/{case}/image" if path.startswith("/v1/cases") else path
        began = time.monotonic()
        try:
            answer = await client.request(method, path, **options)
        except httpx.HTTPError as error:
            self.statuses[type(error).__name__] += 1
            await asyncio.sleep(0.2)
            return
        self.statuses[str(answer.status_code)] += 1
        if answer.status_code == 200:
            self.seconds[route].append(time.monotonic() - began)
        elif "retry-after" in answer.headers:
            await asyncio.sleep(float(answer.headers["retry-after"]))

    def _request(self) -> tuple[str, str, dict]:
        draw = self.random
        of, text = {"case": draw.choice(self.cases)}, draw.choice(WORDS)
        kind = draw.choices(
            ("embed", "zero", "text", "case", "heat", "upload", "picture"), (3, 4, 4, 3, 2, 2, 2)
        )[0]
        if kind == "embed":
            return "POST", "/v1/embed/text", {"json": {"texts": [f"{text} {draw.randrange(10**6)}"]}}
        if kind == "zero":
            return (
                "POST",
                "/v1/zero-shot",
                {"json": {"of": of, "findings": [draw.choice(self.findings), text]}},
            )
        if kind == "text":
            return "POST", "/v1/search", {"json": {"text": text}}
        if kind == "case":
            return "POST", "/v1/search", {"json": {"of": of, "text": text}}
        if kind == "heat":
            return "POST", "/v1/heatmap", {"json": {"of": of, "text": text}}
        if kind == "upload":
            return "POST", "/v1/images", {"content": _film(draw), "headers": {"Content-Type": "image/png"}}
        return "GET", f"/v1/cases/{of['case']}/image", {}

    def told(self) -> dict:
        spent = time.monotonic() - self.began
        answered = sum(map(len, self.seconds.values()))
        return {
            "requests_per_second": answered / spent,
            "statuses": dict(sorted(self.statuses.items())),
            "endpoints": {
                route: {
                    "n": len(times),
                    "p50_ms": 1e3 * float(np.quantile(times, 0.5)),
                    "p95_ms": 1e3 * float(np.quantile(times, 0.95)),
                }
                for route, times in sorted(self.seconds.items())
            },
            "memory_mb": [[round(when, 1), round(size)] for when, size in self.memory],
            "memory_growth": growth(self.memory),
        }


def _film(draw: random.Random) -> bytes:
    file = io.BytesIO()
    pixels = np.frombuffer(draw.randbytes(256 * 256), np.uint8).reshape(256, 256)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def growth(memory: list[tuple[float, float]]) -> float | None:
    """Mean of the last quarter over that of the second, less 1; None if too little was seen."""
    end = memory[-1][0] if memory else 0.0
    early = [size for when, size in memory if WARM * end <= when < 2 * WARM * end]
    late = [size for when, size in memory if when >= (1 - WARM) * end]
    return float(np.mean(late) / np.mean(early) - 1) if early and late else None


def entries(index: str) -> list[str]:
    """The ids of all that is in an index, asked for one by one."""
    opened = open_index(index)
    try:
        ids = (case_id(origin.sha256, row) for origin in opened.about.corpora for row in range(len(opened)))
        found = [name for name in ids if opened.case(name)]
        assert len(found) == len(opened)
        return found
    finally:
        opened.close()


def killed(server: Server, arguments: list[str], index: str, log: Path, options: argparse.Namespace) -> dict:
    """Kill the server in the middle of the load, start it again, and look for every entry."""
    before = entries(index)
    load = Load(server)

    async def run() -> None:
        work = asyncio.create_task(load.run(options.clients, options.seconds))
        await asyncio.sleep(options.seconds / 2)
        workers = server.children()
        server.kill()
        load.end = time.monotonic()
        await work
        await asyncio.sleep(3)
        left = [pid for pid in workers if _resident(pid)]
        assert not left, f"processes outlive the server: {left}"

    asyncio.run(run())
    again = Server(arguments, log)
    try:
        with httpx.Client(base_url=again.url, headers=again.headers, timeout=60) as client:
            images = client.get("/v1/about").raise_for_status().json()["index"]["images"]
            sample = random.Random(0).sample(before, min(100, len(before)))
            served = sum(client.get(f"/v1/cases/{name}/image").status_code == 200 for name in sample)
    finally:
        status = again.stop()
    return {
        "entries": len(before),
        "entries_after_kill": images,
        "same_entries": entries(index) == before,
        "sampled": len(sample),
        "sampled_served": served,
        "exit_status_of_sigterm": status,
    }


def show(told: dict) -> None:
    if "entries" in told:
        print(json.dumps(told, indent=1))
        return
    print(f"{told['requests_per_second']:.0f} requests/s answered; statuses {told['statuses']}")
    for route, row in told["endpoints"].items():
        print(f"{route:<26} n = {row['n']:>6}  p50 {row['p50_ms']:>6.0f} ms  p95 {row['p95_ms']:>6.0f} ms")
    print("memory, MB: " + " ".join(str(size) for _, size in told["memory_mb"][::5]))
    print(f"growth after warm-up: {told['memory_growth']:+.1%}; exit status {told['exit_status']}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", help="a model other than the quickstart's, with --index")
    parser.add_argument("--index", help="its index")
    parser.add_argument(
        "--kill", action="store_true", help="kill the server in the middle and start it again"
    )
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="file for what the server says")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    arguments = [options.model, "--index", options.index] if options.model else []
    server = Server(arguments, options.log)
    if options.kill:
        told = killed(server, arguments, options.index or "quickstart/index", options.log, options)
    else:
        load = Load(server)
        asyncio.run(load.run(options.clients, options.seconds))
        told = load.told() | {"clients": options.clients, "seconds": options.seconds}
        told["exit_status"] = server.stop()
    if options.json:
        print(json.dumps(told))
    else:
        show(told)


if __name__ == "__main__":
    main()
