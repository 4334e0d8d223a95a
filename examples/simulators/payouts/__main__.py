"""Run one simulated payment service until it is stopped; its keys are made in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from aiohttp import web

from .alipay_gateway import AlipayGateway
from .book import Book
from .http_service import HttpService
from .keys import make_keys
from .server import Service
from .wechat_gateway import WechatGateway

KINDS = ("http", "alipay", "wechat")


def service_of(kind: str, keys: Path, book: Book, notify_url: str = "") -> Service:
    """Return the service of a kind, with the ids that its documentation uses."""
    if kind == "http":
        return HttpService((keys / "http.secret").read_bytes().strip(), book, notify_url)
    if kind == "alipay":
        return AlipayGateway("2021000000000000", keys, book, notify_url)
    return WechatGateway("1900000000", "wx0000000000000000", keys, book, notify_url)


def channel_entry(kind: str, url: str, keys: Path, name: str = "") -> str:
    """Return the `[[channel]]` of a simulated service for REBATE_CHANNELS."""
    lines = ["[[channel]]", f'name = "{name or kind}"', f'kind = "{kind}"']
    if kind == "http":
        lines += [f'url = "{url}"', f'secret_file = "{keys}/http.secret"']
    elif kind == "alipay":
        lines += [f'url = "{url}/gateway.do"', 'app_id = "2021000000000000"']
        lines += [f'private_key_file = "{keys}/merchant.key"', f'app_cert_file = "{keys}/merchant.crt"']
        lines += [f'alipay_cert_file = "{keys}/service.crt"', f'alipay_root_cert_file = "{keys}/root.crt"']
    else:
        service = service_of(kind, keys, Book())
        if not isinstance(service, WechatGateway):
            raise ValueError(kind)
        lines += [f'url = "{url}"', 'mchid = "1900000000"', 'appid = "wx0000000000000000"']
        lines += [f'serial_no = "{service.serial_no}"', f'platform_serial = "{service.platform_serial}"']
        lines += [f'private_key_file = "{keys}/merchant.key"', f'platform_key_file = "{keys}/service.crt"']
        lines += [f'api_v3_key_file = "{keys}/api_v3.key"']
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line, print the channel's entry, serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--keys", type=Path, required=True, help="folder of keys; made if it is not there")
    parser.add_argument("--balance", type=int, default=10**12, help="in fen")
    parser.add_argument("--confirms", action="store_true", help="every payout waits for its user")
    parser.add_argument("--notify", default="", help="where callbacks go")
    given = parser.parse_args()
    make_keys(given.keys)
    book = Book(balance=given.balance, confirms=given.confirms)
    service = service_of(given.kind, given.keys, book, given.notify)
    print(
        channel_entry(given.kind, f"http://127.0.0.1:{given.port}", given.keys.resolve()),
        flush=True,
    )
    web.run_app(service.app(), host="127.0.0.1", port=given.port, print=None)


if __name__ == "__main__":
    main()
