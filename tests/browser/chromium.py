"""Drives a headless Chromium over its debugging pipe. Python's standard library only."""

import base64
import json
import os
import subprocess
import tempfile
import threading
import time

# Longest wait for an answer of the browser (seconds).
ANSWER_TIMEOUT_S = 20
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
]


class Browser:
    """One browser process with a profile of its own."""

    def __init__(self, executable="/usr/bin/chromium"):
        self.profile = tempfile.TemporaryDirectory(prefix="checkback-chromium-")
        self.answers = {}
        self.pages = {}
        self.last_id = 0
        self.changed = threading.Condition()
        commands_read, self.commands = os.pipe()
        events, events_write = os.pipe()

        def wire():  # The pipe is expected at the descriptors 3 and 4.
            high = [os.dup(commands_read), os.dup(events_write)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [executable, *FLAGS, f"--user-data-dir={self.profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=wire, close_fds=False)
        os.close(commands_read)
        os.close(events_write)
        self.reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        self.reader.start()

    def _read(self, events):
        rest = b""
        while chunk := os.read(events, 1 << 16):
            *messages, rest = (rest + chunk).split(b"\0")
            for message in map(json.loads, messages):
                with self.changed:
                    if "id" in message:
                        self.answers[message["id"]] = message
                    elif page := self.pages.get(message.get("sessionId")):
                        page.note(message["method"], message["params"])
                    self.changed.notify_all()

    def call(self, method, params=None, session=None):
        """Sends a command and returns its result."""
        with self.changed:
            self.last_id += 1
            command = {"id": self.last_id, "method": method, "params": params or {}}
            if session:
                command["sessionId"] = session
            os.write(self.commands, json.dumps(command).encode() + b"\0")
            answered = self.changed.wait_for(
                lambda: command["id"] in self.answers, timeout=ANSWER_TIMEOUT_S)
            if not answered:
                raise TimeoutError(f"{method}: no answer")
            answer = self.answers.pop(command["id"])
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def open(self, url, width=390, height=844, scripts=True, before=None):
        """Opens a page in a tab of its own; `before` is a script that runs first."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attach = {"targetId": target, "flatten": True}
        session = self.call("Target.attachToTarget", attach)["sessionId"]
        page = Page(self, session)
        self.pages[session] = page
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"]:
            page.call(f"{domain}.enable")
        page.resize(width, height)
        if before:
            page.call("Page.addScriptToEvaluateOnNewDocument", {"source": before})
        if not scripts:
            page.call("Emulation.setScriptExecutionDisabled", {"value": True})
        page.call("Page.navigate", {"url": url})
        page.wait("document.readyState === 'complete'")
        return page

    def close(self):
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except (OSError, TimeoutError, RuntimeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.profile.cleanup()


class Page:
    """One tab. `complaints` collects console errors, exceptions and policy violations."""

    def __init__(self, browser, session):
        self.browser = browser
        self.session = session
        self.complaints = []

    def note(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(("exception", json.dumps(params["exceptionDetails"])))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(("console", json.dumps(params["args"])))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            entry = params["entry"]
            self.complaints.append(("log", f"{entry['text']} {entry.get('url', '')}"))
        elif method == "Audits.issueAdded":
            code = params["issue"]["code"]
            if "ContentSecurityPolicy" in code:
                self.complaints.append(("policy", json.dumps(params["issue"])))

    def call(self, method, params=None):
        return self.browser.call(method, params, self.session)

    def eval(self, expression):
        """The value of a script's expression."""
        answer = self.call("Runtime.evaluate", {
            "expression": expression, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression, seconds=10):
        """Waits until the expression is true; returns how long that took (seconds)."""
        start = time.monotonic()
        while not self.eval(expression):
            if time.monotonic() - start > seconds:
                raise AssertionError(f"not true within {seconds} s: {expression}")
            time.sleep(0.03)
        return time.monotonic() - start

    def resize(self, width, height, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 700})
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def screenshot(self, path, whole=False):
        """Takes a picture of what is seen, or of the whole page."""
        shot = self.call("Page.captureScreenshot", {
            "format": "png", "captureBeyondViewport": whole, **self._clip(whole)})
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
        return path

    def _clip(self, whole):
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {**size, "scale": 1}}

    def follow(self, script, until, seconds=10):
        """Runs a script that leads to another page, and waits there for an expression."""
        self.eval(script)
        start = time.monotonic()
        while True:
            try:
                if self.eval(until):
                    return
            except RuntimeError:
                pass  # The page that was asked is gone.
            if time.monotonic() - start > seconds:
                raise AssertionError(f"not true within {seconds} s: {until}")
            time.sleep(0.03)

    def close(self):
        self.call("Page.close")
