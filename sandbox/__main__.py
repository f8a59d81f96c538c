"""Run the sandbox as its own process: python -m sandbox --port 12111"""

import argparse
import threading
import time
from pathlib import Path

from sandbox.memory import Memory
from sandbox.server import HOST, Server
from sandbox.world import Sandbox

TICK_SECONDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--public-url", help="how browsers reach it, for links in answers")
    parser.add_argument("--webhook-url", help="send every event there")
    parser.add_argument("--webhook-secret", help="sign the events with it (whsec_...)")
    parser.add_argument("--state", type=Path, help="keep the objects in this file over restarts")
    options = parser.parse_args()
    if bool(options.webhook_url) != bool(options.webhook_secret):
        parser.error("--webhook-url and --webhook-secret belong together")
    public_url = options.public_url or f"http://{HOST}:{options.port}"
    sandbox = Sandbox(public_url=public_url, background=True)
    if options.webhook_url:
        sandbox.deliver_to(options.webhook_url, options.webhook_secret)
    try:
        server = Server(sandbox, options.port)
    except OSError as taken:
        parser.exit(1, f"port {options.port} cannot be used ({taken}): choose another --port\n")
    if options.state:
        memory = Memory(sandbox, options.state)
        memory.recall()
        memory.keep()
    threading.Thread(target=_keep_time, args=(sandbox,), name="clock", daemon=True).start()
    # Whoever starts the process waits for this line.
    print(f"Stripe sandbox (not Stripe) on {public_url}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


def _keep_time(sandbox: Sandbox) -> None:
    while True:
        time.sleep(TICK_SECONDS)
        sandbox.tick()


if __name__ == "__main__":
    main()
