"""A running `checkback demo` for the checks in the browser: SERVICE SIMULATOR SHOTS_DIR."""

import json
import sys
import time
import urllib.error
import urllib.request
import uuid

SERVICE, SIMULATOR, SHOTS = sys.argv[1].rstrip("/"), sys.argv[2].rstrip("/"), sys.argv[3]
# A title that would do harm if it weren't escaped.
TITLE = 'Lóngjǐng <b>tea</b> "first flush" & <script>window.harm=1</script> 西湖龙井'
SIZES = [("phone", 390, 844), ("narrow", 320, 568), ("desktop", 1280, 800)]


def request(method, url, body=None, headers=None):
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json", **(headers or {})}
    call = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(call, timeout=15) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


def api(method, path, body=None, expect=(200, 201)):
    headers = {"Authorization": "Bearer dev", "Idempotency-Key": uuid.uuid4().hex}
    status, _, text = request(method, SERVICE + path, body, headers)
    assert status in expect, f"{method} {path}: {status} {text!r}"
    return json.loads(text)


def simulator(path, body, method="POST"):
    status, _, text = request(method, SIMULATOR + path, body)
    assert status in (200, 204), f"{path}: {status} {text!r}"


def order(quantity=1):
    items = [{"sku_id": "browser-tea", "quantity": quantity}]
    return api("POST", "/v1/orders", {"member_id": "browser", "items": items})


def pay(order_id):
    return api("POST", f"/v1/orders/{order_id}/payments", {"channel": "alipay"})


def wait_until_paid(order_id):
    """A page that is opened before asks for a code that is gone when it comes to it."""
    deadline = time.monotonic() + 10
    while api("GET", f"/v1/orders/{order_id}")["status"] != "paid":
        assert time.monotonic() < deadline, f"{order_id} is not paid"
        time.sleep(0.1)


def shoot(page, name, whole=False):
    """The page in every size and in the dark; none may need scrolling sideways."""
    for size, width, height in SIZES:
        page.resize(width, height)
        time.sleep(0.5)
        wide = page.eval("document.documentElement.scrollWidth")
        assert wide <= width, f"{name}: {wide} px wide on a screen of {width} px"
        page.screenshot(f"{SHOTS}/{name}-{size}.png", whole)
    page.resize(390, 844, dark=True)
    page.screenshot(f"{SHOTS}/{name}-dark.png", whole)
    page.resize(390, 844)


def quiet(page, what):
    assert not page.complaints, f"{what}: {page.complaints}"
