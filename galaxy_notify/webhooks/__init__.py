"""For receivers of webhooks: is a request signed with the secret, unchanged and recent?

`verify` needs nothing but Python: no Redis, and none of the extras.
"""

from galaxy_notify.errors import InvalidSignature
from galaxy_notify.webhooks.signature import verify

__all__ = ["InvalidSignature", "verify"]
