"""Text that the database must hold for a while but not be able to read."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

Unsealable = InvalidToken  # not sealed by us, or under a secret key that we have no more


def seal(text: str) -> bytes:
    """`text`, readable only with the service's secret key."""
    return _fernet().encrypt(text.encode())


def unseal(sealed: bytes | memoryview) -> str:
    """The sealed text; also when it was sealed under a secret key that has since been replaced."""
    return _fernet().decrypt(bytes(sealed)).decode()


def is_fresh(sealed: bytes | memoryview) -> bool:
    """Whether it is sealed under the present secret key, and so outlives the ones before."""
    try:
        Fernet(_key(settings.SECRET_KEY)).decrypt(bytes(sealed))
    except InvalidToken:
        return False
    return True


def _fernet() -> MultiFernet:
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_key(secret)) for secret in secrets])


def _key(secret: str) -> bytes:
    # Own label: the same secret signs sessions, and no key should serve two purposes.
    return base64.urlsafe_b64encode(hashlib.sha256(b"keystore.seal:" + secret.encode()).digest())
