"""`errata generate`, `explain`, `search`: asking the model, and asking why it answers so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.commands.options import (
    DEFAULT_ADDRESS,
    DEFAULT_NAMESPACE,
    DEFAULT_TIMEOUT_S,
    ROUTING_PANEL,
    SAMPLING_PANEL,
    Address,
    AsJson,
    Namespace,
    Timeout,
)
from errata.commands.outcome import UsageProblem
from errata.commands.session import connected
from errata.show import Screen
from errata.show_route import route_note, show_explanation, show_logprobs

if TYPE_CHECKING:
    from errata.requests import GenerateOptions, RoutingOptions

Prompt = Annotated[
    str | None,
    typer.Argument(metavar="PROMPT", help='What is asked; "-" or nothing reads stdin.'),
]
NoEdits = Annotated[
    bool,
    typer.Option(
        "--no-edits",
        help="Asks the frozen model alone; the memory is not read.",
        rich_help_panel=ROUTING_PANEL,
    ),
]
Force = Annotated[
    list[str] | None,
    typer.Option(
        "--force",
        metavar="EDIT",
        help="Uses this edit whatever the classifier says; may be given up to 8 times.",
        rich_help_panel=ROUTING_PANEL,
    ),
]
PathName = Annotated[
    str,
    typer.Option(
        "--path",
        metavar="NAME",
        help="The path that answers in scope: in_context, counterfactual, auto; else the server's.",
        rich_help_panel=ROUTING_PANEL,
    ),
]
ErrorBudget = Annotated[
    float | None,
    typer.Option(
        "--error-budget",
        metavar="SHARE",
        help="Share of out-of-scope queries that may be routed to an edit. Default: the server's.",
        rich_help_panel=ROUTING_PANEL,
    ),
]
MinSequence = Annotated[
    int,
    typer.Option(
        "--min-sequence",
        metavar="N",
        help="The memory must have reached this sequence (read your writes).",
        rich_help_panel=ROUTING_PANEL,
    ),
]


def _sampling(metavar: str | None, text: str, *names: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=SAMPLING_PANEL)


MaxTokens = Annotated[
    int | None, _sampling("N", "New tokens at most; 64 when not given.", "--max-tokens", "-m")
]
Temperature = Annotated[
    float | None, _sampling("T", "0 (greedy, when not given) to 10.", "--temperature", "-t")
]
TopP = Annotated[float | None, _sampling("P", "Above 0, up to 1; needs a temperature.")]
TopK = Annotated[int | None, _sampling("K", "0 is off; needs a temperature.")]
MinP = Annotated[float | None, _sampling("P", "0 (off) to below 1; needs a temperature.")]
RepetitionPenalty = Annotated[float | None, _sampling("R", "Above 0, up to 10; 1 is off.")]
Seed = Annotated[int | None, _sampling("N", "Same seed, same prompt, same answer.")]
Stop = Annotated[
    list[str] | None,
    _sampling("TEXT", "The answer ends before this text; may be given up to 16 times.", "--stop"),
]
IgnoreEos = Annotated[bool, _sampling(None, "Goes on after an end-of-text token.", "--ignore-eos")]
Logprobs = Annotated[
    int | None,
    _sampling("N", "Shows the log-probability of each token and of N others (0 to 20)."),
]


def generate(
    prompt: Prompt = None,
    *,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    top_k: TopK = None,
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = None,
    seed: Seed = None,
    stop: Stop = None,
    ignore_eos: IgnoreEos = False,
    logprobs: Logprobs = None,
    no_edits: NoEdits = False,
    force: Force = None,
    path: PathName = "",
    error_budget: ErrorBudget = None,
    min_sequence: MinSequence = 0,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Answers a prompt; the text streams to stdout, its route follows on stderr.

    Examples:
      errata generate "The mother tongue of Danielle Darrieux is"
      errata generate "The Space Needle is in" --no-edits --max-tokens 5
      echo "Steve Jobs founded" | errata generate --json
    """
    given: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
        "stop": stop or None,
        "ignore_eos": ignore_eos or None,
        "logprobs": logprobs,
    }
    options: GenerateOptions = {key: value for key, value in given.items() if value is not None}  # type: ignore[assignment]
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        routing = _routing(
            no_edits=no_edits,
            force=force,
            path=path,
            error_budget=error_budget,
            min_sequence=min_sequence,
        )
        text = _read_prompt(prompt)
        with client.stream(text, routing=routing, timeout_s=timeout, **options) as stream:
            for piece in stream:
                if not as_json:
                    screen.text(piece)
        answer = stream.answer
    if as_json:
        screen.record(answer)
        return
    screen.text("\n")
    if answer.logprobs:
        show_logprobs(screen, answer.logprobs)
    screen.note(route_note(answer.provenance, answer.timings))


def explain(
    prompt: Prompt = None,
    *,
    no_edits: NoEdits = False,
    force: Force = None,
    path: PathName = "",
    error_budget: ErrorBudget = None,
    min_sequence: MinSequence = 0,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Shows which way a prompt would go and why: every candidate, and the final prompt.

    Examples:
      errata explain "What language did Danielle Darrieux grow up with?"
      errata explain "The Space Needle is in" --error-budget 0.001 --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        routing = _routing(
            no_edits=no_edits,
            force=force,
            path=path,
            error_budget=error_budget,
            min_sequence=min_sequence,
        )
        explained = client.explain(_read_prompt(prompt), routing=routing)
    if as_json:
        screen.record(explained)
        return
    show_explanation(screen, explained)


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for.")],
    *,
    limit: Annotated[
        int, typer.Option("--limit", "-l", min=1, max=100, metavar="N", help="How many at most.")
    ] = 10,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Finds active edits near a text, by meaning or by mention of their subject.

    Examples:
      errata search "what does Messi play?"
      errata search "mother tongue" --limit 3 --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        hits = client.search_edits(text, limit=limit)
    if as_json:
        for hit in hits:
            screen.record(hit)
        return
    if not hits:
        screen.note("No edit is near this text.")
        return
    rows = [(hit.edit.id, f"{hit.cosine:.3f}", hit.mention, hit.edit.statement) for hit in hits]
    screen.table(("EDIT", "COSINE", "MENTION", "FACT"), rows)


def _routing(
    *,
    no_edits: bool,
    force: list[str] | None,
    path: str,
    error_budget: float | None,
    min_sequence: int,
) -> RoutingOptions:
    from errata.requests import RoutingOptions  # noqa: PLC0415  # Protobuf: not for `--help`.

    if no_edits and force:
        raise UsageProblem("--no-edits and --force contradict each other; give one of them.")
    return RoutingOptions(
        policy="off" if no_edits else "auto",
        force=tuple(force or ()),
        path=path,
        min_sequence=min_sequence,
        error_budget=error_budget,
    )


def _read_prompt(prompt: str | None) -> str:
    """Returns the prompt given, or stdin without its last line end."""
    if prompt is not None and prompt != "-":
        return prompt
    if sys.stdin.isatty():
        raise UsageProblem('No prompt was given. Write it in quotes: errata generate "..."')
    text = sys.stdin.read().removesuffix("\n")
    if not text:
        raise UsageProblem("stdin was empty; a prompt is needed.")
    return text
