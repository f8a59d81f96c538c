"""Latchkey's stand-in for Stripe: strict, stateful, on this machine only. It is not Stripe."""

from sandbox.world import Sandbox

__all__ = ["Sandbox"]
