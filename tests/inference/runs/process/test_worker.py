"""Messages reach the run of the worker process that they are for."""

import pickle
import subprocess
import sys

import pytest

SORTED = """
import os, threading
from napari_vrp_sam.inference.runs.process.channel import Channel, ReadRequest, Task
from napari_vrp_sam.inference.runs.process.worker import MessageRouter

(there, out), (back, answer) = os.pipe(), os.pipe()
window = Channel(os.fdopen(back, "rb"), os.fdopen(out, "wb"))
post = MessageRouter(Channel(os.fdopen(there, "rb"), os.fdopen(answer, "wb")))
threading.Thread(target=post.route, daemon=True).start()
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


def test_a_message_that_cannot_be_read_ends_the_process():
    worker = subprocess.run(
        [sys.executable, "-m", "napari_vrp_sam.inference.runs.process.worker"],
        input=b"clost\nclass\n.",  # a pickled class of a module that does not exist
        capture_output=True,
        check=False,
        timeout=60,
    )
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(b"clost\nclass\n.")
    assert worker.returncode == 1
    assert b"ModuleNotFoundError" in worker.stderr
