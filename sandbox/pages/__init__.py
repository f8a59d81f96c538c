"""Pages for browsers: each module registers its own with `sandbox.registry.page`."""
