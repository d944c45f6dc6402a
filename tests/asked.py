"""Asks the service for scores, without a socket between."""

import asyncio
import warnings
from pathlib import Path

import httpx

from memae import load
from memae.errors import MemaeWarning
from memae.service.app import Service


def served(model: Path, files: list[tuple[str, bytes]]) -> list[float]:
    """Scores of the content of files, each with its name, by the model in the file `model`."""
    service = Service({"m": load(model)})

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://localhost") as client:
            return await client.post("/score", files=[("files", each) for each in files])

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MemaeWarning)  # goes to the server's log
            answer = asyncio.run(once())
    finally:
        service.close()
    assert answer.status_code == 200, answer.text
    return [sample["score"] for sample in answer.json()["samples"]]
