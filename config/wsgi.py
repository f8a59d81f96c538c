"""What granian serves: the front door, and Django behind it."""

import gc
import os

from django.core.wsgi import get_wsgi_application

from config.wholebody import WholeBodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django = WholeBodies(get_wsgi_application())

from django.conf import settings  # noqa: E402  needs the settings to be named

from config.checks import refuse_dangerous_settings  # noqa: E402  needs the apps to be loaded
from config.frontdoor import front_door  # noqa: E402  needs the apps to be loaded

refuse_dangerous_settings()

application = front_door(django) if settings.FRONT_DOOR else django

# What is loaded by now stays: looking through all of it for garbage again and again is for nothing.
gc.collect()
gc.freeze()
