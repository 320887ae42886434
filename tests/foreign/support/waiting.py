"""Conditions waited for with a deadline, instead of sleeps."""

import time


def until(condition, what, within=20.0, every=0.02):
    """What `condition()` returns once it is truthy; fails, saying `what` was waited for, after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within:g} s in vain for {what}")
        time.sleep(every)


def a_later_second_than(moment):
    """Waits until the clock shows a later whole second than `moment` (seconds since 1970), and returns it."""
    return until(lambda: int(time.time()) > int(moment) and int(time.time()), "the next second", within=3.0)
