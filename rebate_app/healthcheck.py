"""`python -m rebate_app.healthcheck`: exit 0 if the worker of this environment is ready (container engines).

It asks `/readyz` on loopback, over TLS where REBATE_WEB_CERT is set, without proxies, for TIMEOUT_SECONDS.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from collections.abc import Mapping

TIMEOUT_SECONDS = 3.0
OK = 200


def is_ready(environment: Mapping[str, str]) -> bool:
    """Return whether the worker answers that it is ready."""
    port = int(environment.get("REBATE_WEB_PORT") or 6066)
    connection: http.client.HTTPConnection
    if environment.get("REBATE_WEB_CERT"):
        unverified = ssl.create_default_context()  # its certificate names the advertised host, not loopback
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=TIMEOUT_SECONDS, context=unverified
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(os.environ) else 1)
