"""`medistill serve`: its flags."""

from contextlib import ExitStack
from typing import Annotated

import tyro

from medistill.cli.terminal import print_json, say, stages
from medistill.errors import CallError


def serve(
    model: Annotated[str | None, tyro.conf.arg(metavar="[MODEL]")] = None,
    /,
    *,
    index: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_host: tuple[str, ...] = (),
    device: str = "auto",
    json: bool = False,
) -> None:
    """Serve a model with its index: a page to open in a browser, and an interface for programs.

    Example: medistill serve run --index index

    Without MODEL it serves the quickstart on phantoms from ./quickstart, which it makes first if it is not
    there: two minutes. The URL it prints carries the token; set MEDISTILL_TOKEN to choose one.

    Args:
        model: Run or model folder; or hf:NAME or open_clip:NAME:WEIGHTS, as `medistill evaluate` takes them.
        index: Index of this model's embeddings: a folder, or postgresql://...
        host: Address to listen at; any other than a loopback one is open to the network.
        port: Port to listen at; 0 takes a free one.
        allow_host: Further names that browsers may call this server by.
        device: Where the model runs: auto (the first card, else the CPU), cpu, cuda or cuda:N.
        json: Print the URL as JSON on standard output once the model is loaded.
    """
    from medistill.serve.app.server import Address, require_packages
    from medistill.serve.app.server import serve as run

    if model is None:
        from medistill.cli.quickstart import QUICKSTART, made_quickstart

        if index is not None:
            raise CallError("--index needs the MODEL whose embeddings it holds")
        require_packages()
        model, index = made_quickstart(QUICKSTART)

    with ExitStack() as bars:
        on_progress = bars.enter_context(stages())

        def ready(address: Address) -> None:
            bars.close()
            if json:
                print_json({"url": address.url, "token_required": address.token_required})
            else:
                say(f"Not a medical device. Open {address.url}")

        run(
            model,
            index,
            host=host,
            port=port,
            allow_hosts=allow_host,
            device=device,
            ready=ready,
            on_progress=on_progress,
        )
