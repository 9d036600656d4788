"""The submission's process: loads the file, computes what the grader asks for, and sends the results back.

It is started as a script, isolated from the environment and from installed packages, and knows no expected result: the
grader, in another process, compares and keeps the score. What a submission changes here changes its own answers only.
"""

import contextlib
import json
import linecache
import os
import sys
import traceback
import types

_HERE = os.path.dirname(os.path.abspath(__file__))


def main(configuration) -> None:
    """Serve requests until the grader closes the pipe."""
    sys.dont_write_bytecode = True
    sys.path[:0] = [configuration["packages"], _HERE]
    import confine
    import numpy as np
    import numpy.fft
    import numpy.lib.stride_tricks
    import numpy.linalg
    import numpy.random
    import wire

    del sys.path[:2]
    requests, replies = configuration["pipes"]
    link = _Link(wire, requests, replies)
    folder = os.getcwd()
    confine.set_limits(configuration["cpu_seconds"], configuration["memory"], configuration["file_bytes"])
    confine.leave_root([os.__file__, np.__file__, configuration["library"]])
    if configuration["kind"] == "cuda":
        link.send({"ready": True})
        load = _cuda_loader(configuration)
    else:
        confine.forbid_processes()
        link.tried = confine.watch(folder, [os.path.dirname(np.__file__)])
        link.send({"ready": True})
        load = _load_python
    with contextlib.suppress(wire.ClosedError):
        _serve(link, load, configuration["file"], wire.ClosedError)


def _serve(link, load, path, closed):
    names = {}
    while True:
        request = link.receive()
        try:
            if "load" in request:
                names = load(path)
                link.send({"loaded": [name for name, value in names.items() if callable(value)]})
                continue
            name, arguments = request["call"], [link.local(value) for value in request["arguments"]]
            if not callable(names.get(name)):
                link.send({"error": {"type": "missing", "message": name}})
                continue
            value = names[name](*arguments)
            link.send({"value": value, "arguments": [None if isinstance(a, link.Proxy) else a for a in arguments]})
        except closed:
            raise
        except BaseException as error:  # SystemExit and KeyboardInterrupt of the submission are its errors too
            link.send({"error": _describe(error, path)})


def _load_python(path):
    module = types.ModuleType("submission")
    module.__file__ = path
    sys.modules["submission"] = module  # dataclasses look their module up
    with open(path, "rb") as file:
        source = file.read()
    exec(compile(source, path, "exec"), module.__dict__)
    return module.__dict__


def _cuda_loader(configuration):
    """Compiles the kernels on loading; launches them on the emulator, each under its own name.

    Here minisvdd is importable, for a kernel cannot import anything (`cuda_source` refuses a file that reaches out).
    """
    sys.path[:0] = [os.path.dirname(configuration["library"]), configuration["packages"]]
    from pathlib import Path

    from minisvdd.backends import emulator
    from minisvdd.backends.kernel import read_kernels

    def load(path):
        emulator._build(Path(path))  # now, so that the time for it is not taken from the first kernel
        backend = emulator.EmulatorBackend()
        return {name: _launcher(backend, kernel) for name, kernel in read_kernels(Path(path)).items()}

    return load


def _launcher(backend, kernel):
    """(arguments, grid, block) -> the arguments afterwards; with a fourth argument True, (arguments, counts)."""
    from minisvdd.backends.counting import counted

    def launch(arguments, grid, block, count=False):
        return counted(kernel, arguments, grid, block) if count else run(arguments, grid, block)

    def run(arguments, grid, block):
        backend.run(kernel, arguments, grid, block)
        return list(arguments)

    return launch


class _Link:
    """The two pipes to the grader."""

    def __init__(self, wire, requests, replies):
        self._wire, self._requests, self._replies = wire, requests, replies
        self.tried = []
        link = self

        class Proxy:
            """An object of the grader's: each call is computed there."""

            def __init__(self, remote):
                for method in remote.methods:
                    if not method.startswith("__"):
                        setattr(self, method, self._method(remote, method))
                self._remote = remote

            def _method(self, remote, method):
                return lambda *arguments, **keywords: link.ask(remote.key, method, arguments, keywords)

            def __call__(self, *arguments, **keywords):
                if "__call__" not in self._remote.methods:
                    raise TypeError("this object cannot be called")
                return link.ask(self._remote.key, "__call__", arguments, keywords)

        self.Proxy = Proxy

    def send(self, message):
        self._wire.write_message(self._replies, {**message, "tried": self.tried})

    def receive(self):
        return self._wire.read_message(self._requests)

    def local(self, value):
        """What a received argument stands for."""
        if isinstance(value, self._wire.Seed):
            import numpy as np

            return np.random.default_rng(value.value)
        return self.Proxy(value) if isinstance(value, self._wire.Remote) else value

    def ask(self, key, method, arguments, keywords):
        self.send({"remote": key, "method": method, "arguments": list(arguments), "keywords": keywords})
        answer = self.receive()
        if "refused" in answer:
            raise ValueError(answer["refused"])
        return answer["answer"]


def _describe(error, path):
    """Type, message and the submission's line of an exception."""
    try:
        message = str(error)[:600]
    except BaseException:
        message = ""
    line, text = None, None
    if isinstance(error, SyntaxError) and error.filename == path:
        line, text = error.lineno, error.text
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == path:
            line, text = number, linecache.getline(path, number)
    return {"type": type(error).__name__, "message": message, "line": line, "text": str(text or "").strip()[:120]}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
