"""dj-stripe's own migrations, and one squash of them that a fresh database takes instead."""

from djstripe import migrations as upstream

# Upstream's files stay visible, those of later releases included.
__path__ = [*__path__, *upstream.__path__]
