"""The confined process: reads requests from stdin, one line of JSON each, and answers each with one on stdout.

First {"readable": [path, ...]}; what follows runs confined. Then {"load": manifest, "files": {...}, "device": ...},
answered with {"engine": number, "name", "version", "check", "numeric_class"}, and {"engine": number, "input": base64,
"params": {...}, "claimed": base64 or null, "observe": bool}, answered with {"output": base64, "trace_hash": hex,
"units": number, "trace": base64} or, to observe, {"observation": base64}; or any of them with {"error": code,
"message", "way_out", "values"}. It ends with its stdin.
"""

import json
import os
import sys
import tempfile
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from node_agent.execution.errors import ExecutionError
from node_agent.execution.sandbox.confinement import confine

Message = dict[str, Any]


def main() -> None:
    """Runs until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    engines: list[Any] = []
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        try:
            said = _serve(request, engines) if number else _confined(request)
        except ExecutionError as error:
            values = {name: repr(value) for name, value in error.values.items()}
            said = {"error": error.code, "message": error.message, "way_out": error.way_out, "values": values}
        answers.write(json.dumps(said) + "\n")
        if not number and "error" in said:
            return  # not confined: nothing is run


def _confined(request: Message) -> Message:
    confine([Path(each) for each in request["readable"]])
    # torch asks for folders to write to, and writes nothing
    tempfile.tempdir = os.environ["TORCHINDUCTOR_CACHE_DIR"] = "/"
    return {"confined": True}


def _serve(request: Message, engines: list[Any]) -> Message:
    if "load" in request:
        return _load(request, engines)
    engine, input_bytes, params = engines[request["engine"]], b64decode(request["input"]), request["params"]
    claimed = request["claimed"]
    if request["observe"]:
        return {"observation": b64encode(engine.observe(input_bytes, params, b64decode(claimed))).decode()}
    if claimed is None:
        run = engine.execute(input_bytes, params)
    else:
        run = engine.recheck(input_bytes, params, b64decode(claimed))
    return {
        "output": b64encode(run.output).decode(),
        "trace_hash": run.trace_hash.hex(),
        "units": run.units,
        "trace": b64encode(run.trace).decode(),
    }


def _load(request: Message, engines: list[Any]) -> Message:
    # torch comes with the kinds, so it starts confined
    from contracts.protocol.manifest import Manifest
    from node_agent.execution import kinds
    from node_agent.execution.model_files import ModelFiles

    said = request["files"]
    weights, tokenizer, config = (Path(said[name]) for name in ("weights", "tokenizer", "config"))
    files = ModelFiles(weights, tokenizer, config, said["weights_sha256"], said["tokenizer_sha256"])
    engine = kinds.load(files, Manifest.model_validate(request["load"]), request["device"])
    engines.append(engine)
    return {
        "engine": len(engines) - 1,
        "name": engine.name,
        "version": engine.version,
        "check": engine.check,
        "numeric_class": engine.numeric_class,
    }


if __name__ == "__main__":
    main()
