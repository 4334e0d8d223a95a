"""Signatures: the vectors that the networks publish, and those of the calls that are made."""

from __future__ import annotations

import pytest

from rebate_app.sources.signing import signature, signed

P1 = {
    "method": "taobao.item.seller.get",
    "app_key": "12345678",
    "session": "test",
    "timestamp": "2016-01-01 12:00:00",
    "format": "json",
    "v": "2.0",
    "sign_method": "md5",
    "fields": "num_iid,title,nick,price,num",
    "num_iid": "11223344",
}
P2 = {
    "method": "taobao.user.seller.get",
    "timestamp": "2013-05-06 13:52:03",
    "format": "xml",
    "app_key": "test",
    "v": "2.0",
    "fields": "nick",
    "sign_method": "md5",
    "session": "test",
}
P3 = {
    "access_token": "asd78172s8ds9a921j9qqwda12312w1w21211",
    "client_id": "1",
    "data_type": "XML",
    "order_status": "1",
    "page": "1",
    "page_size": "10",
    "timestamp": "1480411125",
    "type": "pdd.order.number.list.get",
}
P4 = {
    "360buy_param_json": '{"end_date":null,"optional_fields":null,"order_state":"WAIT_SELLER_STOCK_OUT",'
    '"page":"1","page_size":"200","start_date":null}',
    "access_token": "yourtoken",
    "app_key": "yourappkey",
    "method": "jingdong.pop.order.search",
    "timestamp": "2021-05-07 09:20:39.683+0800",
    "v": "2.0",
}
C3 = {
    "app_key": "10000001",
    "end_time": "2026-01-10 03:20:00",
    "format": "json",
    "method": "taobao.tbk.order.details.get",
    "order_scene": "1",
    "page_no": "1",
    "page_size": "100",
    "query_type": "4",
    "sign_method": "md5",
    "start_time": "2026-01-10 03:00:00",
    "timestamp": "2026-01-10 03:25:00",
    "v": "2.0",
}
C4 = {
    "app_key": "10000001",
    "format": "json",
    "method": "taobao.tbk.order.refund.get",
    "sign_method": "md5",
    "timestamp": "2026-01-10 03:25:00",
    "v": "2.0",
    "publisher_refund_order_query_option": '{"query_type":5,"start_time":"2026-01-10 00:00:00",'
    '"end_time":"2026-01-10 03:00:00","page_no":1,"page_size":100,"order_scene":1,"member_type":4}',
}
C5 = {
    "app_key": "jdkey",
    "method": "jd.union.open.order.row.query",
    "timestamp": "2026-01-10 03:25:00",
    "v": "1.0",
    "360buy_param_json": '{"orderReq":{"pageIndex":1,"pageSize":200,"type":3,'
    '"startTime":"2026-01-10 02:20:00","endTime":"2026-01-10 03:20:00","fields":"goodsInfo,categoryInfo"}}',
}
C6 = {
    "client_id": "pddid",
    "data_type": "JSON",
    "end_update_time": "1768000800",
    "page": "3",
    "page_size": "50",
    "return_count": "true",
    "start_update_time": "1767996000",
    "timestamp": "1768001100",
    "type": "pdd.ddk.order.list.increment.get",
    "version": "V1",
}
C7 = {
    "type": "pdd.ddk.order.list.range.get",
    "client_id": "pddid",
    "timestamp": "1768001100",
    "data_type": "JSON",
    "start_time": "2026-01-10 00:00:00",
    "end_time": "2026-01-10 03:00:00",
    "page_size": "300",
    "query_order_type": "1",
}
VECTORS = [
    ("P1", P1, "helloworld", "66987CB115214E59E6EC978214934FB8"),
    ("P2", P2, "test", "72CB4D809B375A54502C09360D879C64"),
    ("P3", P3, "testSecret", "E4DE3ED21002510DED352819E7AE6775"),
    ("P4", P4, "yourappSecret", "D70825340F4084360B9362B60DFD7930"),
    ("C1", P1 | {"sign_method": "hmac"}, "helloworld", "D56D7858309C31B6251083A874D48273"),
    (
        "C2",
        P1 | {"sign_method": "hmac-sha256"},
        "helloworld",
        "04DB15AD0774D5CFCE2C837DE43E3FCEA9011ED74F3038FB6AB5F3C4CEA119E8",
    ),
    ("C3", C3, "tbsecret", "C62D0DA5A261985CE1933C1A9873E1D7"),
    ("C3-hmac", C3 | {"sign_method": "hmac"}, "tbsecret", "0D0112EDD9E3A9B1EFD53B9ADDD5EA5E"),
    (
        "C3-sha256",
        C3 | {"sign_method": "hmac-sha256"},
        "tbsecret",
        "0D73B1F4706533A5F69A33D802645F16430C28DE449C7CE958AB79BEB9F927BD",
    ),
    ("C4", C4, "tbsecret", "3F8D664FACF252BC7189C650CB929290"),
    ("C5", C5, "jdsecret", "9DC075A676B771D8856A2FE82C897F9A"),
    (
        "C5-sent",
        C5 | {"format": "json", "sign_method": "md5"},
        "jdsecret",
        "7897BC2E6BD17B6F1ECEE97A0B0F70AE",
    ),
    ("C6", C6, "pddsecret", "8888A7D8736835B003E71F7A375F8B6A"),
    ("C7", C7, "pddsecret", "7EA32CB3398FF73B618651F07FCCB69A"),
]


@pytest.mark.parametrize(
    ("parameters", "secret", "expected"), [each[1:] for each in VECTORS], ids=[each[0] for each in VECTORS]
)
def test_every_published_vector(parameters: dict[str, str], secret: str, expected: str) -> None:
    """The three methods of TOP, and MD5 of JD and PDD."""
    method = parameters.get("sign_method", "md5")
    assert signature(parameters, secret, method) == expected


def test_what_is_empty_is_neither_signed_nor_sent() -> None:
    """Else the network computes another signature."""
    sent = signed(P1 | {"session": "", "": "x"}, "helloworld")
    assert set(sent) == set(P1) - {"session"} | {"sign"}
    assert sent["sign"] == signature({k: v for k, v in P1.items() if k != "session"}, "helloworld")


def test_a_signature_is_not_signed_again() -> None:
    """`sign` itself is left out."""
    assert signature(signed(P1, "helloworld"), "helloworld") == VECTORS[0][3]
