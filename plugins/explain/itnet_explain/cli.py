"""The commands `itnet explain` and `itnet demo`. Torch is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from itnet_registry.cli.arguments import Checkpoint, Download
from itnet_registry.cli.output import machine_readable, print_json, print_line, print_table

if TYPE_CHECKING:
    from itnet_explain.explanation import Explanation, KernelExplanation

Modality = Annotated[
    str | None,
    typer.Option("--modality", "--task", help="The modality, for a model of several tasks.", show_default=False),
]


@machine_readable
def explain(
    checkpoint: Checkpoint,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="At least two files of the kind that the task reads; by default samples of the split."),
    ] = None,
    modality: Modality = None,
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="The split of the samples.")] = "test",
    samples: Annotated[int, typer.Option(min=2, help="Number of samples of the split.")] = 16,
    ablation: Annotated[
        int, typer.Option(min=0, help="Samples to score the model on with parts of its kernels alone; 0 for none.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Of the random choices.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(help="The folder to write; by default the checkpoint's name with -explained.", show_default=False),
    ] = None,
    download: Download = False,
    json: Annotated[bool, typer.Option("--json", help="Write the result to stdout as JSON.")] = False,
) -> None:
    """Explain a checkpoint's kernels: what is due to position and content, what each head equals, where it looks.

    The folder has report.html, which opens in any browser, figures, and explanation.json.
    """
    from itnet_explain.checkpoint import explain_checkpoint
    from itnet_explain.report import write_report
    from itnet_registry.checkpoints.addresses import locate, path_beside

    located = locate(checkpoint, download=download)
    found = explain_checkpoint(
        located, files or (), modality=modality, split=split, samples=samples, ablation=ablation, seed=seed
    )
    beside = path_beside(checkpoint)
    folder = beside.with_name(f"{beside.resolve().name}-explained") if output is None else output
    write_report(found.explanation, folder, title=checkpoint, images=found.images, labels=found.labels)
    if json:
        print_json({**found.explanation.to_json(), "output": str(folder)})
        return
    print_table(f"{found.explanation.samples} samples", COLUMNS, rows(found.explanation))
    scores = found.explanation.ablation
    names = next(iter(scores.values()), {})
    print_table(
        "With parts of the kernels alone",
        ("kept", *names),
        [(variant, *(f"{value:.3f}" for value in values.values())) for variant, values in scores.items()],
    )
    print_line(f"report: {folder / 'report.html'}")


def demo(
    checkpoint: Checkpoint,
    modality: Modality = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0 for any free one.")] = 7860,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    download: Download = False,
) -> None:
    """Serve a page, for this machine alone, to try a checkpoint: a prediction with probabilities and the kernels' maps.

    Drop an image, a recording, a mesh, or another file that the task reads, or type a text. Nothing leaves the machine.
    """
    import webbrowser

    from itnet_explain.demo import Demo, DemoServer
    from itnet_registry.checkpoints.addresses import locate

    locate(checkpoint, download=download)  # from now on, it is in the cache
    with DemoServer(Demo(checkpoint, modality), port) as server:
        print_line(f"{server.url}  (Ctrl-C ends it)")
        if browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print_line("ended", err=True)


COLUMNS = ("kernel", "head", "constant", "position", "content", "interaction", "reach", "nearest")


def rows(explanation: Explanation) -> list[tuple[str, ...]]:
    """Return the rows of the table: the shares of E[k²] in percent, for each head."""
    found: list[tuple[str, ...]] = []
    for layer in explanation.layers:
        found += _rows(layer)
    return found


def _rows(layer: KernelExplanation) -> list[tuple[str, ...]]:
    if not layer.heads:
        return [(layer.path, "", "", "", "", "", "", layer.note)]
    return [
        (layer.path if number == 0 else "", str(number), *_percent(head.shares), f"{head.reach:.2g}", head.summary)
        for number, head in enumerate(layer.heads)
    ]


def _percent(shares: Any) -> tuple[str, ...]:
    if not shares:
        return ("",) * 4
    content = sum(shares[part] for part in ("query", "key", "both"))
    parts = (shares["constant"], shares["position"], content, shares["interaction"])
    return tuple(f"{max(part, 0):.0%}" for part in parts)
