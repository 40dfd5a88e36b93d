"""Fits the same heads on the same folds with scikit-learn and compares every fold's right answers and every choice of λ.

    python folds.py PROGRAM DATA [ROWS]

PROGRAM is `assize`, DATA the folder of data sets; ROWS of Adult's training half are taken (default 0: all 32,561). Needs
scikit-learn. German Credit is cut in 10 folds twice, Adult in 5. The folds are ours, read from `--folds-out`: what is compared is
everything after them. The minimum is scikit-learn's by Newton's steps, which end where the gradient is 1e-10 or less; ours is by
gradient descent. Exit 0 when every fold has the same right answers and the same λ.
"""

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def read(path):
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt") as file:
        rows = [[cell.strip() for cell in line.split(",")] for line in file if line.strip()]
    columns = list(zip(*rows))
    target = np.array([cell.rstrip(".") for cell in columns[-1]])
    features, numeric, names = [], [], []
    for at, column in enumerate(columns[:-1]):
        try:
            features.append([float(cell) for cell in column])
            numeric.append(at)
        except ValueError:
            features.append(list(column))
            names.append(at)
    table = np.empty((len(rows), len(features)), dtype=object)
    for at, column in enumerate(features):
        table[:, at] = column
    return table, target, numeric, names


def encoded(table, train, test, numeric, names):
    """Columns of both parts, as the training part has them."""
    columns = ColumnTransformer(
        [("x", StandardScaler(), numeric), ("c", OneHotEncoder(handle_unknown="ignore", sparse_output=False), names)]
    )
    return columns.fit_transform(table[train]).astype(float), columns.transform(table[test]).astype(float)


def right(weights, table, target, train, test, numeric, names):
    """Right answers at each λ."""
    fitted, told = encoded(table, train, test, numeric, names)
    heads = [LogisticRegression(C=1 / (weight * len(train)), tol=1e-10, max_iter=200, solver="newton-cholesky") for weight in weights]
    return [int((head.fit(fitted, target[train]).predict(told) == target[test]).sum()) for head in heads]


def compare(name, path, program, folds, options, limit):
    table, target, numeric, names = read(path)
    if limit:
        table, target = table[:limit], target[:limit]
        options = [*options, "--limit", str(limit)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "folds.json"
        subprocess.run(
            [program, "evaluate", "--folds", str(folds), "--no-header", "--data", str(path), "--folds-out", str(out), *options],
            check=True, stdout=subprocess.DEVNULL,
        )
        ours = json.loads(out.read_text())
    n_same, n_lambda, theirs = 0, 0, []
    for fold in ours["folds"]:
        of = np.array(ours["assigned"][fold["repeat"]])
        train, test = np.flatnonzero(of != fold["fold"]), np.flatnonzero(of == fold["fold"])
        weights = ours["lambdas"]
        weight = weights[0]
        if len(weights) > 1:
            inner = np.array(fold["inner"])
            parts = [
                right(weights, table, target, train[inner != part], train[inner == part], numeric, names)
                for part in range(inner.max() + 1)
            ]
            counts = [sum(of_weight) for of_weight in zip(*parts)]
            weight = weights[int(np.argmax(counts))]
            if counts != fold["innerRight"]:
                print(f"  {name} repeat {fold['repeat']} fold {fold['fold']}: inner {counts}, ours {fold['innerRight']}")
        n_lambda += weight == fold["lambda"]
        [found] = right([fold["lambda"]], table, target, train, test, numeric, names)
        n_same += found == fold["right"]
        theirs.append(found / len(test))
        if found != fold["right"]:
            print(f"  {name} repeat {fold['repeat']} fold {fold['fold']}: {found} right, ours {fold['right']}")
    n = len(ours["folds"])
    mine = np.mean([fold["right"] / fold["test"] for fold in ours["folds"]])
    print(f"{name}: {len(target)} rows, {n} folds; right answers alike in {n_same}, λ in {n_lambda}; "
          f"mean accuracy {mine:.6f}, scikit-learn's {np.mean(theirs):.6f}")
    return n_same == n and n_lambda == n


def main():
    program, data = sys.argv[1], Path(sys.argv[2])
    limit = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    alike = compare("German Credit", data / "german-credit/german.csv", program, 10, ["--repeats", "2"], 0)
    alike &= compare("Adult", data / "adult/adult-train.csv.gz", program, 5, ["--lambda", "0.01,0.001,0.0001"], limit)
    sys.exit(0 if alike else 1)


main()
