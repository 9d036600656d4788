"""The submission's process: loads the file, computes what the grader asks for, and sends the results back.

It is started as a script, isolated from the environment and from installed packages, and knows no expected result: the
grader, in another process, compares and keeps the score. What a submission changes here changes its own answers only.
"""

import ast
import contextlib
import importlib
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
    path_before = list(sys.path)
    sys.path[:0] = [configuration["packages"], os.path.dirname(_HERE)]
    for name in ("fft", "lib.stride_tricks", "linalg", "random"):  # now, while everything can be read
        importlib.import_module(f"numpy.{name}")
    from cage import confine, hook, kernels, missing
    from grader import wire

    kind, places, path = (configuration[name] for name in ("kind", "places", "file"))
    link = _Link(wire, *configuration["pipes"])
    programs, load = None, None
    if kind != "python":
        kernels.import_library(configuration["library"])
        if kind == "compile":
            programs, load = kernels.programs(), kernels.compiler()
        else:
            load = kernels.launcher(path)
    sys.path[:] = path_before
    confine.set_limits(*(configuration[name] for name in ("cpu_seconds", "memory", "file_bytes", "files")))
    confine.shut(places, programs)
    if programs is None:
        confine.filter_calls(configuration["listener"])
    if kind == "python":
        hook.watch(configuration["notes"], places)
        available = sys.stdlib_module_names | {"numpy"}
        load = _python_loader(lambda tree: missing.put_off(tree, available))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cage", "grader")]:
        del sys.modules[name]
    bait = types.ModuleType("confine")  # who looks for the walls here may change what he likes, and goes on to be named
    bait.__getattr__ = lambda name: {}
    sys.modules["confine"] = bait
    linecache.cache[__file__] = (1, None, [], __file__)  # a warning that shows a line of this file need not read it
    link.send({"ready": True})
    with contextlib.suppress(wire.ClosedError):
        _serve(link, load, path, wire.ClosedError)


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


def _python_loader(put_off):
    def load(path):
        module = types.ModuleType("submission")
        module.__file__ = path
        sys.modules["submission"] = module  # dataclasses look their module up
        with open(path, "rb") as file:
            tree = ast.parse(file.read(), path)
        module.__dict__.update(put_off(tree))
        exec(compile(tree, path, "exec"), module.__dict__)
        return module.__dict__

    return load


class _Link:
    """The two pipes to the grader."""

    def __init__(self, wire, requests, replies):
        self._wire, self._requests, self._replies = wire, requests, replies
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
        self._wire.write_message(self._replies, message)

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
