"""Scores tasks with lm-evaluation-harness itself and compares every answer with ours; says how long both took.

    python task_scores.py ASSIZE MODEL DATA [--tasks T,T] [--items N] [--pages N] [--batch B | --batches B,B] [--out FILE]

ASSIZE is the program, MODEL a hub folder in f32 (`assize model FILE --write DIR`), DATA the folder of data sets. Needs the
Python packages lm_eval 0.4.13, transformers, torch and datasets; nothing is downloaded. Both sides get the same rows, in the
columns the hub has, and load the same weights. N items a task (of MMLU: over four subjects), of WikiText that many pages.

Exit 0 when, for each request, context and continuation are the same strings and the log-likelihoods agree to 1e-4 of their
size or 2e-3 nats, when at least 999 of 1,000 choices are the same, and when each figure is the same to the third decimal.

With `--batches` the harness first answers the first 32 items of a task at each batch size, in a process of its own, and the
fastest is its batch: once each in a shuffled order, and once more the other way round for as long as two minutes last. A batch
that finds no memory is left out. WikiText is asked at batch 1: a page is thousands of tokens and fills the cores alone, and a
batch would pad each page to the longest and hold the logits of all of them at once.

Time and memory: of lm-evaluation-harness the time of its `evaluate` alone, without imports and loading; of ours the whole
process, loading and writing included. Memory is the most that was resident.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets
import torch
from lm_eval import evaluator
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml

from task_requests import TASKS, arc, boolq, crows, lambada, lines, openbookqa, pages, subject, truthful

SUBJECTS = ("abstract_algebra", "anatomy", "college_biology", "computer_security")
FIGURES = {
    "acc": "acc,none",
    "acc_norm": "acc_norm,none",
    "word_perplexity": "word_perplexity,none",
    "byte_perplexity": "byte_perplexity,none",
    "bits_per_byte": "bits_per_byte,none",
    "perplexity": "perplexity,none",
    "likelihood_diff": "likelihood_diff,none",
    "pct_stereotype": "pct_stereotype,none",
}


def sets(data):
    """Name: [(task, file of the harness, folder on the hub, splits, examples before each item)]."""
    # No examples are drawn; the harness still wants to see a training split.
    beside = lambda split, rows: {"train": rows[-20:], split: rows}
    validation = lambda name: beside("validation", lines(next((data / name).glob("validation*"))))
    of_arc = beside("test", [arc(row) for row in lines(data / "arc/arc_easy.test.jsonl.gz")])
    mmlu, dev = lines(data / "mmlu/test.first7000.jsonl.gz"), lines(data / "mmlu/dev.jsonl")
    subjects = [
        (
            f"mmlu_{name}",
            f"mmlu/default/mmlu_{name}.yaml",
            f"cais/mmlu/{name}",
            {"test": subject(mmlu, name), "dev": subject(dev, name)},
            5,
        )
        for name in SUBJECTS
    ]
    wikitext = beside("test", pages(data / "wikitext-2-raw/wiki.test.raw"))
    of_openbookqa = beside("test", [openbookqa(row) for row in lines(data / "openbookqa/test.jsonl")])
    of_boolq = beside("validation", [boolq(row) for row in lines(data / "boolq/validation.titled.jsonl.gz")])
    of_lambada = {"test": [lambada(row) for row in lines(data / "lambada/test.first2500.jsonl.gz")]}
    truthfulqa = [truthful(row) for row in json.loads((data / "truthfulqa/mc_task.v0.json").read_text(encoding="utf-8"))]
    of_crows = {"test": crows(data / "crows-pairs/crows_pairs_anonymized.csv")}
    return {
        "hellaswag": [("hellaswag", "hellaswag/hellaswag.yaml", "Rowan/hellaswag", validation("hellaswag"), 0)],
        "arc_easy": [("arc_easy", "arc/arc_easy.yaml", "allenai/ai2_arc/ARC-Easy", of_arc, 0)],
        "mmlu": subjects,
        "wikitext": [
            ("wikitext", "wikitext/wikitext.yaml", "EleutherAI/wikitext_document_level/wikitext-2-raw-v1", wikitext, 0)
        ],
        "piqa": [("piqa", "piqa/piqa.yaml", "baber/piqa", validation("piqa"), 0)],
        "winogrande": [
            ("winogrande", "winogrande/default.yaml", "allenai/winogrande/winogrande_xl", validation("winogrande"), 0)
        ],
        "openbookqa": [("openbookqa", "openbookqa/openbookqa.yaml", "allenai/openbookqa/main", of_openbookqa, 0)],
        "boolq": [("boolq", "super_glue/boolq/default.yaml", "aps/super_glue/boolq", of_boolq, 0)],
        "lambada_openai": [
            ("lambada_openai", "lambada/lambada_openai.yaml", "EleutherAI/lambada_openai/default", of_lambada, 0)
        ],
        "crows_pairs_english": [
            (
                "crows_pairs_english",
                "crows_pairs/crows_pairs_english.yaml",
                "jannalu/crows_pairs_multilingual/english",
                of_crows,
                0,
            )
        ],
        **{
            f"truthfulqa_{kind}": [
                (
                    f"truthfulqa_{kind}",
                    f"truthfulqa/truthfulqa_{kind}.yaml",
                    "truthfulqa/truthful_qa/multiple_choice",
                    {"validation": truthfulqa},
                    0,
                )
            ]
            for kind in ("mc1", "mc2")
        },
    }


def of_harness(lm, members, n):
    """Samples and figures by task, and seconds."""
    tasks = {}
    for name, file, _, splits, shots in members:
        rows = datasets.DatasetDict({split: datasets.Dataset.from_list(rows) for split, rows in splits.items() if rows})
        ConfigurableTask.download = lambda self, *_, **__: setattr(self, "dataset", rows)
        config = load_yaml(TASKS / file)
        config.pop("tag", None)
        config.pop("group", None)
        task = ConfigurableTask(config=config)
        task.set_config(key="num_fewshot", value=shots)
        task.set_fewshot_seed(seed=1234)
        tasks[name] = task
    begun = time.perf_counter()
    done = evaluator.evaluate(lm, tasks, limit=n, bootstrap_iters=0, log_samples=True)
    seconds = time.perf_counter() - begun
    return done["samples"], done["results"], seconds


SEARCH_ITEMS = 32
SEARCH_SECONDS = 120


def search(model, members, batches):
    """Seconds of the harness by batch size, on a few items: one list for each, empty where memory did not suffice."""
    # What does not fit then fails here, and takes nothing from others.
    free = next(int(line.split()[1]) for line in open("/proc/meminfo", encoding="ascii") if line.startswith("MemAvailable"))
    used = int(open("/proc/self/statm", encoding="ascii").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + free * 1024 * 3 // 4,) * 2)
    lm = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=batches[0])
    n = SEARCH_ITEMS // len(members)
    of_harness(lm, members, 1)
    order = batches[:]
    random.Random(0).shuffle(order)
    found = {batch: [] for batch in batches}
    begun = time.perf_counter()
    for at, batch in enumerate(order + order[::-1]):
        is_again = at >= len(order)
        if is_again and (not found[batch] or time.perf_counter() - begun + found[batch][0] > SEARCH_SECONDS):
            continue
        lm.batch_size_per_gpu = batch
        try:
            seconds = of_harness(lm, members, n)[2]
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
                raise
            continue
        found[batch].append(round(seconds, 2))
    return found


def searched(chosen, name):
    """As `search`, in a process of its own: its memory is then not counted."""
    command = [sys.executable, __file__, chosen.program, chosen.model, chosen.data, "--tasks", name, "--search", chosen.batches]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
    return {int(batch): seconds for batch, seconds in json.loads(done.stdout.splitlines()[-1]).items()}


def of_ours(program, model, members, n, folder):
    """Samples and figures by task, seconds and the most bytes resident."""
    for _, _, place, splits, _ in members:
        (folder / place).mkdir(parents=True, exist_ok=True)
        for split, rows in splits.items():
            if rows:
                with open(folder / place / f"{split}.jsonl", "w", encoding="utf-8") as out:
                    out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    names = ",".join(member[0] for member in members)
    samples, figures = folder / "samples.jsonl", folder / "figures.json"
    command = [program, "evaluate", model, "--tasks", names, "--data", folder, "--limit", n]
    command += ["--fewshot", members[0][4], "--samples", samples, "--json"]
    begun = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(figures, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        os.execvp(str(program), [str(part) for part in command])
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - begun
    if status:
        sys.exit(f"task_scores: {names}: status {status}")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    document = json.loads(figures.read_text(encoding="utf-8"))
    return rows, document, seconds, usage.ru_maxrss * 1024


def compare(samples, rows):
    """Requests compared, those of other strings, the largest differences, choices compared and different."""
    found = {(row["task"], row["doc_id"]): row for row in rows}
    counts = dict(requests=0, strings=0, beyond=0, absolute=0.0, relative=0.0, greedy=0, choices=0, other=[], items=0)
    bias = []
    for task, theirs in samples.items():
        for sample in theirs:
            counts["items"] += 1
            ours = found[task, sample["doc_id"]]
            rolling = len(sample["arguments"][0]) == 1
            if len(sample["arguments"]) != len(ours["requests"]):
                sys.exit(f"task_scores: {task} {sample['doc_id']}: another number of requests")
            sums = []
            for arguments, response, request in zip(sample["arguments"], sample["resps"], ours["requests"]):
                counts["requests"] += 1
                context, continuation = ("", arguments[0]) if rolling else arguments
                digest = hashlib.sha256(context.encode()).hexdigest()
                same = request["context_sha256"].removeprefix("sha256:") == digest
                counts["strings"] += not (same and request["continuation"] == continuation)
                expected = response[0] if rolling else response[0][0]
                if not rolling:
                    counts["greedy"] += response[0][1] != request["greedy"]
                difference = abs(expected - request["loglikelihood"])
                counts["absolute"] = max(counts["absolute"], difference)
                counts["relative"] = max(counts["relative"], difference / max(abs(expected), 1e-9))
                counts["beyond"] += difference > max(1e-4 * abs(expected), 2e-3)
                bias.append((expected - request["loglikelihood"]) / max(request["tokens"] or 1, 1))
                sums.append(expected)
            if not rolling and ours["choice"] is not None and len(sums) > 1:
                counts["choices"] += 1
                choice = max(range(len(sums)), key=lambda at: (sums[at], -at))
                if choice != ours["choice"]:
                    counts["other"].append((task, sample["doc_id"], sums))
    counts["bias"] = sum(bias) / len(bias)
    return counts


def figures_of(results, document):
    """Pairs of one figure each, from both."""
    for task, theirs in results.items():
        for name, key in FIGURES.items():
            if key in theirs and name in document["results"][task]:
                yield task, name, theirs[key], float(document["results"][task][name]["value"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", default="hellaswag,arc_easy,mmlu,wikitext")
    parser.add_argument("--items", type=int, default=52)
    parser.add_argument("--pages", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", help="look for the harness's fastest batch among these first")
    parser.add_argument("--search", help="only say the seconds at each of these batch sizes")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    all_sets, wrong, lines_out = sets(chosen.data), False, []
    if chosen.search:
        batches = [int(batch) for batch in chosen.search.split(",")]
        print(json.dumps(search(chosen.model, all_sets[chosen.tasks], batches)))
        return
    for name in chosen.tasks.split(","):
        members = all_sets[name]
        n = chosen.pages if name == "wikitext" else chosen.items // len(members)
        times = searched(chosen, name) if chosen.batches and name != "wikitext" else {}
        batch = 1 if name == "wikitext" else chosen.batch
        if any(times.values()):
            batch = min((min(seconds), batch) for batch, seconds in times.items() if seconds)[1]
        # Ours first: the memory of this process then counts the harness alone.
        with tempfile.TemporaryDirectory() as folder:
            rows, document, ours_s, ours_bytes = of_ours(chosen.program, chosen.model, members, n, Path(folder))
        lm = HFLM(pretrained=str(chosen.model), device="cpu", dtype="float32", batch_size=batch)
        samples, results, theirs_s = of_harness(lm, members, n)
        theirs_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        counts = compare(samples, rows)
        details = document["tasks"].values()
        read = sum(task["positionsRead"] for task in details)
        apart = sum(task["positionsWithoutSharing"] for task in details)
        same_figures = True
        for task, metric, expected, found in figures_of(results, document):
            same = abs(expected - found) < 5e-4 * max(1.0, abs(expected))
            same_figures &= same
            print(f"  {task} {metric}: {expected:.6f} and {found:.6f}{'' if same else '  DIFFERS'}")
        for task, doc_id, sums in counts["other"]:
            print(f"  another choice: {task} item {doc_id}, sums of the harness {sums}")
        is_right = counts["strings"] == counts["beyond"] == 0 and same_figures
        is_right &= len(counts["other"]) <= counts["choices"] / 1000
        wrong |= not is_right
        line = {
            "task": name, "items": counts["items"], "requests": counts["requests"], "batch": batch, "searched": times,
            "otherStrings": counts["strings"], "beyond": counts["beyond"], "otherChoices": len(counts["other"]),
            "otherGreedy": counts["greedy"], "absoluteMax": counts["absolute"], "relativeMax": counts["relative"],
            "biasPerToken": counts["bias"], "harnessSeconds": round(theirs_s, 2), "assizeSeconds": round(ours_s, 2),
            "ratio": round(theirs_s / ours_s, 2), "harnessMB": theirs_bytes // 1_000_000,
            "assizeMB": ours_bytes // 1_000_000, "positionsRead": read, "positionsWithoutSharing": apart,
            "torch": torch.__version__, "threads": torch.get_num_threads(),
        }
        print(json.dumps(line), flush=True)
        lines_out.append(line)
        del lm
    if chosen.out:
        chosen.out.write_text("".join(json.dumps(line) + "\n" for line in lines_out), encoding="utf-8")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
