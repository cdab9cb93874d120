"""Runs programs one after another for the fuzzer, and tells what each came to, with the most memory that it had.

Reads a line of JSON for each: {"command": [...], "cwd": path, "limit": seconds}. Gives a line of JSON: {"status": exit
status, negative for a signal, "out": text, "err": text, "peak": KiB, "ms": milliseconds, "late": whether it was killed
at the limit}. The peak is the kernel's count for that process, or this one's own size where that is more.
"""
import json, os, signal, sys, tempfile, time

for line in sys.stdin:
    order = json.loads(line)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.monotonic()
        child = os.fork()
        if child == 0:
            try:
                os.chdir(order["cwd"])
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                signal.alarm(int(order["limit"]))
                os.execve(order["command"][0], order["command"], {"PATH": os.environ["PATH"]})
            finally:
                os._exit(127)
        _, status, usage = os.wait4(child, 0)
        ms = (time.monotonic() - begin) * 1000
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read(1 << 20).decode("utf-8", "replace"))
        code = os.waitstatus_to_exitcode(status)
    answer = {"status": code, "out": texts[0], "err": texts[1], "peak": usage.ru_maxrss, "ms": ms,
              "late": code == -signal.SIGALRM}
    print(json.dumps(answer), flush=True)
