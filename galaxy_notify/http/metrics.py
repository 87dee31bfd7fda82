"""The metrics of a scrape: those of this process, and of the other workers beside it."""

from __future__ import annotations

import asyncio
from typing import Final

from galaxy_notify.http.workers import Worker
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.prometheus import Scraped, merged

#: How long another worker may take; a scrape goes without it then, in seconds.
_PATIENCE_S: Final = 2.0


class Metrics:
    """Whatever worker a scrape reaches, it gets the metrics of all, each with its number.

    Otherwise two scrapes would reach different processes, and counters go up and down.
    """

    def __init__(self, scraped: Scraped, worker: Worker | None) -> None:
        self._scraped = scraped
        self._worker = worker
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer the other workers; where the folder was cleared away, serve without that."""
        if self._worker is None:
            return
        number = self._worker.number
        try:
            path = self._path(self._worker, number)
            self._server = await asyncio.start_unix_server(self._answer, path)
        except OSError as error:
            get_logger("http").warning("http worker unscraped", of=number, reason=str(error))

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def text(self) -> bytes:
        """Return every metric as it stands, in the text format."""
        own = await asyncio.to_thread(self._scraped.text)
        if self._worker is None:
            return own
        worker = self._worker
        others = [one for one in range(1, worker.count + 1) if one != worker.number]
        texts = await asyncio.gather(*(self._text_of(worker, one) for one in others))
        by_number = dict(zip(others, texts, strict=True)) | {worker.number: own}
        return merged("worker", {str(one): by_number[one] for one in sorted(by_number)})

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await asyncio.to_thread(self._scraped.text))
        writer.close()

    async def _text_of(self, worker: Worker, number: int) -> bytes:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(self._path(worker, number))
                try:
                    return await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            # It is being started again.
            reason = str(error) or type(error).__name__
            get_logger("http").warning("http worker unscraped", of=number, reason=reason)
            return b""

    @staticmethod
    def _path(worker: Worker, number: int) -> str:
        return str(worker.folder / f"{number}.sock")
