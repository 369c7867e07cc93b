"""A headless Chromium that runs scripts in a page, by its own protocol over two pipes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from select import select
from tempfile import TemporaryDirectory
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
SECONDS = 60  # after which a browser that says nothing is taken for broken


class Chromium:
    """A browser with one page; to be used as `with`.

    Its protocol is that of https://chromedevtools.github.io/devtools-protocol: messages in JSON,
    each ended by a zero byte, which the browser reads from file 3 and writes to file 4.
    """

    def __enter__(self) -> Chromium:
        read_by_browser, to_browser = os.pipe()
        from_browser, written_by_browser = os.pipe()
        self._folder = TemporaryDirectory(ignore_cleanup_errors=True)

        def connect() -> None:
            # both to high numbers first: one of them may be 3 or 4 itself
            ends = os.dup2(read_by_browser, 103), os.dup2(written_by_browser, 104)
            for end, number in zip(ends, (3, 4), strict=True):
                os.dup2(end, number)

        self._browser = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={self._folder.name}", "about:blank"],
            close_fds=False,
            preexec_fn=connect,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_by_browser)
        os.close(written_by_browser)
        self._out, self._in, self._come = to_browser, from_browser, b""
        self._sent, self._session = 0, None
        (page, *_) = self._call("Target.getTargets")["targetInfos"]
        attached = {"targetId": page["targetId"], "flatten": True}
        self._session = self._call("Target.attachToTarget", **attached)["sessionId"]
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.kill()
        self._browser.wait()
        os.close(self._out)
        os.close(self._in)
        self._folder.cleanup()

    def open(self, url: str) -> None:
        """Go to a page; `run` waits for what it shows."""
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression in the page, that of its promise where it is one."""
        found = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true in the page, for ten seconds at most."""
        held = self.run(f"""new Promise((tell) => {{
            const end = Date.now() + 10000;
            const look = () => {{
                let held = false;
                try {{ held = {condition}; }} catch (error) {{ /* not there yet */ }}
                if (held || Date.now() > end) tell(Boolean(held)); else setTimeout(look, 20);
            }};
            look();
        }})""")
        assert held, f"{condition} did not come true: {self.run('document.body.innerText')}"

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:  # events of the browser come in between
            answer = json.loads(self._read())
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _read(self) -> bytes:
        """The next message; what has come of the one after it is kept."""
        while b"\0" not in self._come:
            ready, _, _ = select([self._in], [], [], SECONDS)
            assert ready, f"the browser has said nothing for {SECONDS} seconds"
            some = os.read(self._in, 1 << 16)
            assert some, "the browser has ended"
            self._come += some
        message, _, self._come = self._come.partition(b"\0")
        return message
