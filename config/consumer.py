"""The worker's side of the broker, which outlives every loss of it."""

import logging
from typing import Any

from celery.worker.consumer import Consumer

logger = logging.getLogger(__name__)


class LastingConsumer(Consumer):
    """Connects anew whatever the end of the last connection raised.

    A worker that holds messages wants to return or acknowledge them, asks a channel whose
    connection is already gone, and its AttributeError would end the whole worker. Nothing needs
    to be returned: the rows remember, and sweepers ring again.
    """

    drain: Any
    loop: Any  # what Celery calls as long as it is connected

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.drain, self.loop = self.loop, self._drain_or_connect_anew

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        try:
            super().on_connection_error_after_connected(exc)
        except Exception:
            logger.warning("broker.unclosed", exc_info=True)

    def _drain_or_connect_anew(self, *args: Any) -> None:
        """Celery goes on only after errors that it knows of a connection."""
        try:
            self.drain(*args)
        except (*self.connection_errors, *self.channel_errors):
            raise
        except Exception as problem:
            logger.warning("broker.lost", exc_info=True)
            raise ConnectionError("The broker was lost while work was in hand.") from problem
