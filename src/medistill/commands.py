"""One function per command; their signatures are the flags, heavy imports are inside."""

from pathlib import Path
from typing import Any, Literal

from medistill.errors import CallError, MedistillError
from medistill.reporting import print_json, report_card, report_figures, say


def quickstart(*, out: Path = Path("quickstart"), json: bool = False) -> None:
    """Draw a corpus of phantoms, pretrain on it, evaluate and write a page: two minutes on two cores.

    Example: medistill quickstart --out quickstart

    Args:
        out: Folder to make; a quickstart that was stopped goes on where it was.
        json: Print the figures as JSON on standard output.
    """
    from medistill.quickstart import quickstart as run

    run(out)
    report_figures(out / "evaluation", json)


def prepare(
    source: Any,
    *,
    out: Path,
    val: float = 0.1,
    test: float = 0.1,
    engine: Literal["local", "ray"] = "local",
    workers: int = 0,
    limit: int = 0,
    allow_rejects: bool = False,
    show_paths: bool = False,
    deidentify: Path | None = None,
    scrub: str = "",
    json: bool = False,
) -> None:
    """Turn source files into a corpus: one row per image, split by patient.

    Example: medistill prepare csv reports.csv --out corpus --text findings impression --patient-id subject

    Args:
        source: What to read.
        out: Corpus folder to make.
        val: Share of the patients in the validation split, where the source has no splits of its own.
        test: Share of the patients in the test split, where the source has no splits of its own.
        engine: Who runs the processes that read images: this command, or Ray Data (pip install
            'medistill[ray]'), on other machines too if RAY_ADDRESS names a cluster. The corpus is the same.
        workers: Processes that read images; 0 takes one a core.
        limit: Stop after so many studies and rejects; 0 reads all.
        allow_rejects: Go on when more than a tenth of the rows cannot be used.
        show_paths: Name the files in rejected.csv instead of giving salted ids.
        deidentify: Give studies and patients other ids by the secret key in this file, made if missing,
            shift dates by patient and cap ages over 89. An aid, no guarantee.
        scrub: With --deidentify: MODULE:FUNCTION of yours that gives a report's text without names.
        json: Print the corpus's card as JSON on standard output.
    """
    from medistill.data.deidentify import Deidentifier, read_key, scrub_function
    from medistill.data.prepare import cores
    from medistill.data.prepare import prepare as run
    from medistill.progress import stages

    if scrub and not deidentify:
        raise CallError("--scrub goes with --deidentify KEY")
    function = scrub_function(scrub) if scrub else None
    change = Deidentifier(key=read_key(deidentify, out), scrub=function) if deidentify else None
    with stages() as on_progress:
        card = run(
            source,
            out,
            engine=engine,
            workers=workers or (cores() if engine == "local" else 0),
            limit=limit,
            val=val,
            test=test,
            allow_rejects=allow_rejects,
            show_paths=show_paths,
            deidentify=change,
            on_progress=on_progress,
        )
    report_card(card, out, json)


def check(
    corpus: Path,
    *,
    out: Path | None = None,
    with_cases: bool = False,
    show_ids: bool = False,
    json: bool = False,
) -> None:
    """Whether a corpus leaks between its splits or is broken: a table, check.json and page.html.

    Example: medistill check corpus

    Exits with 1 if patients, studies or images are in two splits, or if images cannot be read.

    Args:
        corpus: Corpus folder written by `medistill prepare`; nothing is written into it.
        out: Folder to write check.json and page.html into; CORPUS.check if not named.
        with_cases: Put images of the worst cases on the page: they are patient data.
        show_ids: Name study and patient ids in check.json beside the salted ones.
        json: Print check.json on standard output.
    """
    from medistill.check_report import check_and_write, table
    from medistill.progress import console, stages

    out = out or corpus.absolute().with_name(f"{corpus.absolute().name}.check")
    if with_cases:
        say("page.html will hold images of the corpus: treat it as patient data")
    with stages() as on_progress:
        report = check_and_write(
            corpus, out, with_cases=with_cases, show_ids=show_ids, on_progress=on_progress
        )
    if json:
        print_json(report)
    console.print(table(report))
    say(f"page: {out / 'page.html'}")
    if not report["passed"]:
        raise MedistillError(report["verdict"])


def plan(recipe: Any, *, memory: str = "", data: Path | None = None, json: bool = False) -> None:
    """The largest micro-batch that fits, its peak memory and the time of an epoch, from a few real steps.

    Example: medistill plan chest_resnet50 --memory 11GB --window 512

    Args:
        recipe: What to plan; any field of the ready recipe is overridden by its flag.
        memory: Memory to stay within, such as 11GB or 11GiB; what is free on the card, else in the machine.
        data: Corpus folder written by `medistill prepare`, for the time of an epoch.
        json: Print the plan as JSON on standard output.
    """
    from medistill.plan import make_plan
    from medistill.plan_report import as_json, parse_memory, summary
    from medistill.progress import progress_bar

    limit = parse_memory(memory) if memory else 0
    with progress_bar(f"measuring {recipe.name}", None, "measures") as on_progress:
        made = make_plan(recipe, memory=limit, data=data, on_progress=on_progress)
    if json:
        print_json(as_json(made))
    for line in summary(made):
        say(line)


def train(recipe: Any, *, data: Path, out: Path, json: bool = False) -> None:
    """Pretrain the two encoders on a corpus; goes on from the newest checkpoint in `out`.

    Example: medistill train small --data corpus --out run --epochs 40

    Args:
        recipe: What to train; any field of the ready recipe is overridden by its flag.
        data: Corpus folder written by `medistill prepare`.
        out: Run folder; holds config.json, metrics.jsonl, checkpoints and the model.
        json: Print the validation of the delivered model as JSON on standard output.
    """
    from medistill.engine.track import best_validation
    from medistill.pretrain import pretrain
    from medistill.progress import training_bar

    with training_bar() as watch:
        pretrain(recipe, data, out, watch=watch)
    best = best_validation(out)
    if json:
        print_json(best)
    if best:
        i2t, t2i = best["val/i2t_r@10"], best["val/t2i_r@10"]
        say(f"{out / 'model'}: validation recall@10 {i2t:.3f} image to text, {t2i:.3f} text to image")


def compare(
    recipe: Any,
    *,
    data: Path,
    objectives: tuple[str, ...],
    out: Path,
    seeds: int = 5,
    trials: int = 6,
    baseline: str = "clip",
    budgets: tuple[str, ...] = ("samples", "time"),
    memory: str = "",
    settings: Path | None = None,
    jobs: int = 1,
    json: bool = False,
) -> None:
    """Objectives against each other, tuned alike, over seeds: a table, results.json and page.html.

    Example: medistill compare small --data corpus --objectives clip msd --out comparison

    Args:
        recipe: What all objectives train; any field of the ready recipe is overridden by its flag.
        data: Corpus folder written by `medistill prepare`.
        objectives: Objectives, or labels of your own that --settings explains.
        out: Folder of the comparison; one that was stopped goes on where it was.
        seeds: Training runs of each objective for the final figures.
        trials: Tuning trials of each objective; 0 takes the recipe's learning rate, scale and warm-up.
        baseline: The objective the others are compared with.
        budgets: What is equal for all: `samples` (epochs) or `time` (that the baseline needs).
        memory: Bytes each may take, such as 11GB: its micro-batch becomes the largest that fits.
        settings: JSON file of recipe fields for some: {"gradcache-16": {"objective": "gradcache", ...}}.
        jobs: Training runs at once, each on its share of the cores.
        json: Print results.json on standard output.
    """
    from medistill.compare.run import compare as run
    from medistill.compare.run import make_comparison
    from medistill.compare.table import tables
    from medistill.compare.watch import cells_bar
    from medistill.progress import console

    comparison = make_comparison(
        recipe,
        objectives,
        settings=settings,
        baseline=baseline,
        seeds=seeds,
        trials=trials,
        budgets=budgets,
        memory=memory,
    )
    with cells_bar(comparison) as told:
        results = run(comparison, data, out, jobs=jobs, told=told)
    if json:
        print_json(results)
    for table in tables(results):
        console.print(table)
    for line in (*results["notes"], *results["verdict"], f"page: {out / 'page.html'}"):
        say(line)
