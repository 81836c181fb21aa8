"""The command that serves a model; as in `commands`, its signature is the flags."""

from medistill.reporting import print_json, say


def serve(
    model: str | None = None,
    *,
    index: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_host: tuple[str, ...] = (),
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
        json: Print the URL as JSON on standard output once the model is loaded.
    """
    from medistill.server import Address
    from medistill.server import serve as run

    def ready(address: Address) -> None:
        if json:
            print_json({"url": address.url, "token_required": address.token_required})
        else:
            say(f"Not a medical device. Open {address.url}")

    run(model, index, host=host, port=port, allow_hosts=allow_host, ready=ready)
