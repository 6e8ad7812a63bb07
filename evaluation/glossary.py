"""The names of all metrics with their definitions: the one table that code and docs are held to.

`{kind}` stands for a kind of probe. There is no metric without the name of its definition.
"""

from __future__ import annotations

import re

METRICS: dict[str, str] = {
    "reliability_exact": "share of edit prompts answered with exactly the target: greedy, ended by "
    "the model itself, compared after white space, quotes and a final full stop are taken off",
    "reliability_token": "mean share of the target's tokens that are the model's first choice "
    "after the edit prompt when the tokens before them are given (EasyEdit's default)",
    "generalization_exact": "as reliability_exact, on the data's paraphrases as given",
    "generalization_token": "as reliability_token, on the data's paraphrases as given",
    "generalization_cleaned_exact": "as generalization_exact, without the unrelated sentence that "
    "some of CounterFact's paraphrases begin with",
    "generalization_cleaned_token": "as generalization_token, on the cleaned paraphrases",
    "generalization_follows_exact": "as generalization_exact, on the paraphrases labelled as "
    "following from the edit",
    "es": "efficacy score: share of edit prompts after which the target is more probable than the "
    "former answer, by mean log-probability per token (ROME, MEMIT)",
    "ps": "paraphrase score: as es, on the paraphrases as given",
    "ns": "neighbourhood score: share of neighbour prompts after which the true answer is more "
    "probable than the edit's target",
    "ns_distracting": "as ns, with the edit's own statement before the neighbour prompt",
    "es_magnitude": "mean difference of the two probabilities of es, each exp(mean log-probability "
    "per token)",
    "ps_magnitude": "as es_magnitude, for ps",
    "ns_magnitude": "as es_magnitude, for ns",
    "score_s": "harmonic mean of es, ps and ns (MEMIT's S); the interval is that of their bounds",
    "router_recall": "share of edit prompts routed to an edit that they are about",
    "router_recall_paraphrase": "as router_recall, on the paraphrases as given",
    "router_recall_paraphrase_cleaned": "as router_recall, on the cleaned paraphrases",
    "router_recall_paraphrase_follows": "as router_recall, on the paraphrases labelled as "
    "following from the edit",
    "router_recall_turn": "as router_recall, on the last turns of conversations that ask for the "
    "edited fact",
    "router_recall_{kind}": "as router_recall, on the portability probes of a kind that lies in "
    "the edit's scope (another name of the subject)",
    "wrong_edit": "share of in-scope probes (edit prompts, paraphrases as given, other names) "
    "whose best hit is an edit of another fact; fillers are counted in filler_route",
    "filler_route": "share of all probes whose best hit is an edit that only fills the memory",
    "false_route_neighbour": "share of near neighbours (same relation, other subject) routed to an "
    "edit; probes that word for word are an edit prompt, paraphrase or other name of another "
    "record in memory are left out, here and in locality; fillers are counted in filler_route, "
    "in every false_route",
    "false_route_distracting": "as false_route_neighbour, with the edit's own statement before "
    "the neighbour prompt",
    "false_route_neighbour_other_fact": "as false_route_neighbour, not counting routes to an edit "
    "of the very fact asked for: the probe names its subject, and its former answer is the true "
    "one, or the data hold both wordings as edit prompt and neighbour of one record",
    "false_route_distracting_other_fact": "the same of false_route_distracting",
    "false_route_far": "share of unrelated search questions (NQ-open) routed to an edit",
    "false_route_same_subject": "share of probes of the same subject and another relation "
    "(KnowEdit's Relation_Specificity) routed to an edit",
    "false_route_attribute": "share of prompts about other subjects of which the target is true "
    "already (CounterFact's attribute prompts) routed to an edit",
    "false_route_other_hop": "share of MQuAKE's single hops that no edit touches routed to an edit",
    "false_route_turn": "share of last turns of conversations that ask for something else, routed "
    "to an edit",
    "routed_{kind}": "share of probes of an open kind (a further step, or undecided by the data) "
    "routed to any edit",
    "path_exact": "share of edit prompts routed to their own edit that are answered with exactly "
    "the target: the path's quality without the router's",
    "path_exact_paraphrase": "as path_exact, on the paraphrases as given",
    "locality_identical": "share of out-of-scope probes answered token for token as the frozen "
    "model answers them",
    "locality_{kind}": "as locality_identical, on one kind of probe",
    "drawdown": "1 minus the mean share of the frozen model's answer (its tokens, place by place) "
    "that out-of-scope probes are still answered with",
    "refused": "share of probes that the server would refuse because they do not fit the model's "
    "context, where there are any; out of scope they are in no other figure, in scope unanswered",
    "base_identical": "share of sampled probes routed to no edit whose tokens are those of the "
    "frozen model's own generate, by transformers alone, one prompt at a time",
    "base_identical_but_near_ties": "as base_identical, not counting a first difference where the "
    "reference's two best logits lie less than 1e-4 apart",
    "portability_{kind}": "share of portability probes answered with exactly the expected answer "
    "or another name of it; of a multi-hop question any wording counts",
    "forgetfulness_exact": "share of KnowEdit's Forgetfulness probes answered with another right "
    "answer of a relation that has many",
    "negation_target": "share of prompts that deny the edit whose answers still hold its target; "
    "lower is better",
    "turn_exact": "as generalization_exact, on the last turns of conversations",
    "fluency": "with `--fluency N` above 0: mean weighted entropy (bits) of the bigrams and "
    "trigrams of 100 tokens after a prompt, weights 2/3 and 4/3, sampled with top-k 5 (ROME's GE; "
    "tables often show it x 100)",
    "scope_ms_p50": "median time that routing adds to a query (encoding, retrieval, scope), "
    "milliseconds, one query at a time",
    "scope_ms_p99": "99th percentile of the same",
    "perplexity_ratio": "perplexity of a fixed page of running text on the edited weights, divided "
    "by that on edition 0",
    "seconds_per_edit": "processor time of computing an edition divided by its edits, seconds; "
    "with several steps, of all of them",
    "peak_bytes": "growth of the process' resident memory while an edition is computed, at most",
    "edit_ms": "mean time until one edit, written alone, is durable and visible, milliseconds",
    "edit_bytes": "size of the data directory divided by the edits in it, bytes",
}

_PATTERNS = tuple(
    re.compile(re.escape(name).replace(r"\{kind\}", r"[a-z0-9_]+")) for name in METRICS
)


def is_defined(metric: str) -> bool:
    """Whether the table has a definition of this metric."""
    return any(pattern.fullmatch(metric) for pattern in _PATTERNS)
