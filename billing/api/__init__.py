"""Billing over HTTP: one module per subject."""
