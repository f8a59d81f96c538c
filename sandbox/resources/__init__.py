"""One module per group of Stripe's resources; importing one registers what it answers."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def load() -> None:
    """Import every module of this package, and the pages."""
    import sandbox.pages

    for package in (__path__, sandbox.pages.__path__):
        prefix = __name__ if package is __path__ else "sandbox.pages"
        for module in pkgutil.iter_modules(package):
            importlib.import_module(f"{prefix}.{module.name}")


def seed(sandbox: Sandbox) -> None:
    """What a new Stripe account has from the start."""
    from sandbox.resources.account import open_account

    open_account(sandbox)
