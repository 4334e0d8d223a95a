"""The local Apache Kafka: the real broker in KRaft mode, for development and for tests.

With `REBATE_BROKER` set, none of this is used.
"""

from .cluster import LocalCluster
from .errors import BrokerBusyError, BrokerError, BrokerSetupError
from .jars import ensure_jars
from .local import BrokerStatus, LocalKafka
from .ports import free_port

__all__ = [
    "BrokerBusyError",
    "BrokerError",
    "BrokerSetupError",
    "BrokerStatus",
    "LocalCluster",
    "LocalKafka",
    "ensure_jars",
    "free_port",
]
