"""What comes in at the working process goes to whom it is for."""

import subprocess
import sys

SORTED = """
import os, threading
from napari_vrp_sam.inference.runs.channel import Channel, ReadRequest, Task
from napari_vrp_sam.inference.runs.worker import MessageRouter

(there, out), (back, answer) = os.pipe(), os.pipe()
window = Channel(os.fdopen(back, "rb"), os.fdopen(out, "wb"))
post = MessageRouter(Channel(os.fdopen(there, "rb"), os.fdopen(answer, "wb")))
answers = []
reader = threading.Thread(target=lambda: answers.append(post.ask(ReadRequest((0,)))), daemon=True)
reader.start()
assert window.receive() == ReadRequest((0,))
window.send(Task(1, "job"))
window.send("pixels")
task = post.next_task()
reader.join(20)
print(task.job, *answers)
"""


def test_a_reader_does_not_take_a_task_for_its_answer():
    run = subprocess.run(
        [sys.executable, "-c", SORTED], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.stdout == "job pixels\n", run.stderr
