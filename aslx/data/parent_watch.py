"""No process that this project starts outlives the one that started it."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Ends this process when its parent is killed, which a pool's workers would outlive."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
