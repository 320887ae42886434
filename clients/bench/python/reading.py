"""What the programs share: their arguments, and the words that are exchanged with bench.py."""

import resource
import sys


def measured(read):
    """Reads once to warm up, and again at each line."""
    server, dynamodb, table, records = sys.argv[1:5]
    read(server, dynamodb, table, int(records))
    print("ready", flush=True)
    for _ in sys.stdin:
        before = cpu()
        got = read(server, dynamodb, table, int(records))
        print(f'{{"records": {got}, "cpu": {cpu() - before}}}', flush=True)


def cpu():
    """Seconds of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
