"""Usage, quotas and the gateway over HTTP: one module per subject."""
