"""Builds the requests of tasks with lm-evaluation-harness itself and compares them, letter by letter, with ours.

    python task_requests.py PROGRAM DATA [N [TASK,TASK]]

PROGRAM is the example `task_requests` of assize-evaluate, DATA the folder of data sets, N items a task (default 60), of these
tasks (default: all). Needs the Python packages lm_eval 0.4.13 and datasets; nothing is downloaded: the rows of DATA are given
to both sides in the columns the hub has. Each task is asked at zero shot and with examples, once from our shipped task files
and once from the harness's own files read as they are. Exit 0 when every context, continuation and drawn example is the same.
"""

import csv
import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import datasets
import lm_eval
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

TASKS = Path(lm_eval.__file__).parent / "tasks"


def lines(path):
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def choices(texts):
    return {"text": texts, "label": [chr(65 + at) for at in range(len(texts))]}


def arc(row):
    return {"id": row["id"], "question": row["question"], "choices": choices(row["choices"]), "answerKey": chr(65 + row["gold"])}


def openbookqa(row):
    return {"question_stem": row["query"], "choices": choices(row["choices"]), "answerKey": chr(65 + row["gold"])}


def boolq(row):
    return {"passage": row["passage"], "question": row["question"], "label": int(row["answer"])}


def lambada(row):
    return {"text": f"{row['context']} {row['continuation']}"}


def truthful(row):
    def split(targets):
        return {"choices": list(targets), "labels": list(targets.values())}

    return {"question": row["question"], "mc1_targets": split(row["mc1_targets"]), "mc2_targets": split(row["mc2_targets"])}


def crows(path):
    with open(path, encoding="utf-8") as file:
        return [{key: row[key] for key in ("sent_more", "sent_less", "bias_type")} for row in csv.DictReader(file)]


def cmmlu(path):
    with open(path, encoding="utf-8") as file:
        return [{key: row[key] for key in ("Question", "A", "B", "C", "D", "Answer")} for row in csv.DictReader(file)]


def pages(path):
    """The document-level copy of WikiText: a page begins at each line like ` = Title = `."""
    found, page = [], []
    for line in Path(path).read_text(encoding="utf-8").split("\n"):
        joined = line.replace("= = =", "===").replace("= =", "==")
        if joined.startswith(" = ") and joined.strip().endswith(" ="):
            found.append("\n".join(page))
            page = []
        page.append(line)
    found.append("\n".join(page))
    return [{"page": page} for page in found if page.strip()]


def subject(rows, name):
    return [row for row in rows if row["subject"] == name]


def sets(data):
    """Task, file of the harness, folder on the hub, splits, examples to draw (None: the task draws none)."""
    tests = {name: [arc(row) for row in lines(data / f"arc/{name}.test.jsonl.gz")] for name in ("arc_easy", "arc_challenge")}
    validation = {
        name: lines(next((data / name).glob("validation*"))) for name in ("hellaswag", "piqa", "winogrande")
    }
    of_boolq = [boolq(row) for row in lines(data / "boolq/validation.titled.jsonl.gz")]
    of_lambada = [lambada(row) for row in lines(data / "lambada/test.first2500.jsonl.gz")]
    mmlu, dev = lines(data / "mmlu/test.first7000.jsonl.gz"), lines(data / "mmlu/dev.jsonl")
    truthfulqa = [truthful(row) for row in json.loads((data / "truthfulqa/mc_task.v0.json").read_text(encoding="utf-8"))]
    gsm8k = lines(data / "gsm8k/test.jsonl.gz")
    bbq = [row for part in ("Age", "Nationality", "Religion") for row in lines(data / f"bbq/{part}.jsonl.gz")]
    halves = lambda rows: {"train": rows[len(rows) // 2 :], "test": rows[: len(rows) // 2]}
    held = lambda rows: {"train": rows[len(rows) // 2 :], "validation": rows[: len(rows) // 2]}
    yield "arc_easy", "arc/arc_easy.yaml", "allenai/ai2_arc/ARC-Easy", halves(tests["arc_easy"]), 5
    yield "arc_challenge", "arc/arc_challenge.yaml", "allenai/ai2_arc/ARC-Challenge", halves(tests["arc_challenge"]), 25
    yield "hellaswag", "hellaswag/hellaswag.yaml", "Rowan/hellaswag", held(validation["hellaswag"]), 10
    yield "piqa", "piqa/piqa.yaml", "baber/piqa", held(validation["piqa"]), 3
    yield "winogrande", "winogrande/default.yaml", "allenai/winogrande/winogrande_xl", held(validation["winogrande"]), 5
    yield "boolq", "super_glue/boolq/default.yaml", "aps/super_glue/boolq", held(of_boolq), 2
    rows = [openbookqa(row) for row in lines(data / "openbookqa/test.jsonl")]
    yield "openbookqa", "openbookqa/openbookqa.yaml", "allenai/openbookqa/main", halves(rows), 4
    yield "lambada_openai", "lambada/lambada_openai.yaml", "EleutherAI/lambada_openai/default", {"test": of_lambada}, 3
    for name in ("anatomy", "high_school_physics"):
        splits = {"test": subject(mmlu, name), "dev": subject(dev, name)}
        yield f"mmlu_{name}", f"mmlu/default/mmlu_{name}.yaml", f"cais/mmlu/{name}", splits, 5
        yield f"mmlu_{name}_continuation", f"mmlu/continuation/mmlu_{name}.yaml", f"cais/mmlu/{name}", splits, 5
    for kind in ("mc1", "mc2"):
        place = "truthfulqa/truthful_qa/multiple_choice"
        yield f"truthfulqa_{kind}", f"truthfulqa/truthfulqa_{kind}.yaml", place, {"validation": truthfulqa}, None
    yield "gsm8k", "gsm8k/gsm8k.yaml", "openai/gsm8k/main", halves(gsm8k), 5
    rows = pages(data / "wikitext-2-raw/wiki.test.raw")
    yield "wikitext", "wikitext/wikitext.yaml", "EleutherAI/wikitext_document_level/wikitext-2-raw-v1", {"train": rows[:1], "test": rows}, None
    for name in ("arts", "marxist_theory"):
        splits = {split: cmmlu(data / f"cmmlu/{split}/{name}.csv") for split in ("test", "dev")}
        yield f"cmmlu_{name}", f"cmmlu/cmmlu_{name}.yaml", f"haonan-li/cmmlu/{name}", splits, 5
    rows = crows(data / "crows-pairs/crows_pairs_anonymized.csv")
    place = "jannalu/crows_pairs_multilingual/english"
    yield "crows_pairs_english", "crows_pairs/crows_pairs_english.yaml", place, {"test": rows}, None
    yield "crows_pairs_english_gender", "crows_pairs/crows_pairs_english_gender.yaml", place, {"test": rows}, None
    for name, file in (("bbq", "bbq_multiple_choice"), ("bbq_ambig", "bbq_multiple_choice_ambig")):
        yield name, f"bbq/{file}.yaml", "oskarvanderwal/bbq/All", {"test": bbq[::40]}, 2


def of_harness(file, splits, n_shots, n):
    """What the harness itself asks."""
    rows = datasets.DatasetDict({split: datasets.Dataset.from_list(rows) for split, rows in splits.items()})
    ConfigurableTask.download = lambda self, *_, **__: setattr(self, "dataset", rows)
    config = load_yaml(TASKS / file)
    for key in ("tag", "group"):
        config.pop(key, None)
    task = ConfigurableTask(config=config)
    if n_shots is not None:
        task.set_config(key="num_fewshot", value=n_shots)
    task.set_fewshot_seed(seed=1234)
    for doc_id, doc in task.doc_iterator(limit=n):
        context = task.fewshot_context(doc, task.config.num_fewshot or 0)
        made = task.construct_requests(doc, context, metadata=(task.config.task, doc_id, 1))
        made = made if isinstance(made, list) else [made]
        if task.OUTPUT_TYPE == "generate_until":
            yield [[instance.args[0]] for instance in made]
        else:
            yield [list(instance.args) for instance in made]


def of_ours(program, hub, task, n_shots, n, folders):
    command = [program, hub, task, str(n), str(n_shots or 0), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"task_requests: {task}: {done.stderr.strip()}")
    for line in done.stdout.splitlines():
        yield json.loads(line)["requests"]


def main():
    program, data = sys.argv[1], Path(sys.argv[2])
    n = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    only = set(sys.argv[4].split(",")) if len(sys.argv) > 4 else None
    compared = differing = 0
    with tempfile.TemporaryDirectory() as hub:
        for task, file, place, splits, shots in sets(data):
            if only and task not in only:
                continue
            folder = Path(hub) / place
            folder.mkdir(parents=True, exist_ok=True)
            for split, rows in splits.items():
                with open(folder / f"{split}.jsonl", "w", encoding="utf-8") as out:
                    out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            for n_shots in [0] if shots is None else [0, shots]:
                expected = list(of_harness(file, splits, n_shots if shots is not None else None, n))
                for name, folders in (("shipped", []), ("theirs", [(TASKS / file).parent])):
                    found = list(of_ours(program, hub, task, n_shots, n, folders))
                    wrong = [at for at, pair in enumerate(zip(expected, found)) if pair[0] != pair[1]]
                    compared += sum(map(len, expected))
                    if wrong or len(expected) != len(found):
                        differing += 1
                        print(f"DIFFERS {task} ({name}), {n_shots} shots: {len(expected)} items and {len(found)}, {len(wrong)} differ")
                        for at in wrong[:1]:
                            print("  expected", json.dumps(expected[at], ensure_ascii=False)[-700:])
                            print("  found   ", json.dumps(found[at], ensure_ascii=False)[-700:])
                    else:
                        print(f"same {task} ({name}), {n_shots} shots: {len(expected)} items, {sum(map(len, expected))} requests")
    print(f"{compared} requests compared, {differing} of the runs differ")
    sys.exit(1 if differing else 0)


os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
if __name__ == "__main__":
    main()
