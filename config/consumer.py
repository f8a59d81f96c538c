"""The worker's side of the broker, which outlives every loss of it."""

import logging

from celery.worker.consumer import Consumer

logger = logging.getLogger(__name__)


class LastingConsumer(Consumer):
    """Connects anew whatever the end of the last connection raised.

    A worker that holds messages wants to return them while it closes, asks a channel whose
    connection is already gone, and its AttributeError would end the whole worker. Nothing needs
    to be returned: the rows remember, and sweepers ring again.
    """

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        try:
            super().on_connection_error_after_connected(exc)
        except Exception:
            logger.warning("broker.unclosed", exc_info=True)
