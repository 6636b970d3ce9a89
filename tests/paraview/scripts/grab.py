"""Takes a picture of the whole screen once a program has drawn: FOLDER PROGRAM [ARGUMENT]...

Runs outside ParaView, under the same display. Waits until the program left ``note.json`` in
FOLDER and the screen stands still, and ends the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from PIL import ImageGrab

folder = Path(sys.argv[1])
note = folder / "note.json"
deadline = time.monotonic() + 500
process = subprocess.Popen(sys.argv[2:])
try:
    while not note.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    result = json.loads(note.read_text()) if note.exists() else {}
    before, still = b"", 0
    while still < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.7)
        picture = ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).convert("RGB")
        picture.save(folder / "window.png")
        still = still + 1 if picture.tobytes() == before else 0
        before = picture.tobytes()
    result["alive"] = process.poll() is None
finally:
    process.terminate()
    process.wait(timeout=60)
print(f"RESULT {json.dumps(result)}", flush=True)
