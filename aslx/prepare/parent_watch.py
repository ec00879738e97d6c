"""Ends a worker process with its parent."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Ends this process when its parent ends; a pool's workers would outlive a killed parent."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
