"""Train one detector for every class of a data set and print the AUCs beside the paper's: one seed of table 1.

    python benchmarks/classes.py                                          the embedded digits, half a minute
    python benchmarks/classes.py --data mnist --protocol authors-code --jobs 2 --data-dir DIR
    python benchmarks/classes.py --data mnist --protocol paper --pretrain-epochs 0 --jobs 2 --data-dir DIR
    python benchmarks/classes.py --quick                                  two classes, two epochs: does it run?

Every finished class is kept in OUT/NAME/CLASS.json and not computed again when the same run is started anew; the whole
goes to OUT/NAME.json and, as a table, to OUT/NAME.md, where NAME is DATA-PROTOCOL-OBJECTIVE-nuNU-seedSEED. With
--pretrain-epochs, PROTOCOL is followed by -pretrainEPOCHS.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from minisvdd.data.datasets import load_dataset
from minisvdd.experiments.experiments import train_and_evaluate
from minisvdd.experiments.paper import TABLE_1
from minisvdd.experiments.protocols import PROTOCOLS, get_protocol
from minisvdd.files.atomic import atomic_write, write_json
from minisvdd.svdd.svdd import OBJECTIVES

# Entries of a result's "auc" and their headings; the last one's is the objective.
COLUMNS = {
    "random": "random weights",
    "pretrained": "pre-trained weights",
    "autoencoder": "autoencoder (DCAE)",
    "trained": None,
}


def main():
    """Run the classes that have no result yet, then write the table of all."""
    arguments = _arguments()
    data = Path(arguments.data).stem
    protocol = get_protocol(arguments.protocol, data)
    if arguments.quick:
        protocol = replace(protocol, pretrain_epochs=2, epochs=2)
    label = "quick" if arguments.quick else arguments.protocol
    if arguments.pretrain_epochs is not None:
        protocol = replace(protocol, pretrain_epochs=arguments.pretrain_epochs)
        label += f"-pretrain{arguments.pretrain_epochs}"
    name = f"{data}-{label}-{arguments.objective}-nu{arguments.nu:g}-seed{arguments.seed}"
    folder = Path(arguments.out) / name
    dataset = load_dataset(arguments.data, arguments.data_dir)
    classes = arguments.classes or [dataset.class_names[i] for i in np.unique(dataset.train_labels)]
    if arguments.quick:
        classes = classes[:2]
    results = Parallel(n_jobs=arguments.jobs, verbose=5)(
        delayed(_one_class)(folder / f"{normal}.json", dataset, normal, protocol, arguments) for normal in classes
    )
    write_json(Path(arguments.out) / f"{name}.json", results)
    table = _table(data, arguments, results)
    with atomic_write(Path(arguments.out) / f"{name}.md") as file:
        file.write(table)
    print(table)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--protocol", default="quick", choices=list(PROTOCOLS))
    parser.add_argument("--objective", default="one-class", choices=OBJECTIVES)
    parser.add_argument("--pretrain-epochs", type=int, help="instead of the protocol's; 0 for none")
    parser.add_argument("--nu", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", nargs="+", help="default: all")
    parser.add_argument("--jobs", type=int, default=1, help="classes trained side by side")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", default="benchmarks/results")
    return parser.parse_args()


def _one_class(path, dataset, normal, protocol, arguments):
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    _, result = train_and_evaluate(
        dataset.one_class(normal),
        protocol,
        objective=arguments.objective,
        nu=arguments.nu,
        seed=arguments.seed,
        verbose=0,
    )
    result = {"data": dataset.name, "protocol": arguments.protocol, **result}
    write_json(path, result)
    return result


def _table(data, arguments, results):
    """Markdown: AUC in % per class and stage, the paper's column of the same objective where it has one."""
    paper = TABLE_1.get(data, {})
    columns = [column for column in COLUMNS if column in results[0]["auc"]]
    header = ["normal class", *(COLUMNS[column] or arguments.objective for column in columns)]
    if paper:
        header += ["paper: DCAE", f"paper: {arguments.objective}"]
    rows = []
    for result in results:
        row = [100 * result["auc"][column] for column in columns]
        if paper:
            printed = paper[result["normal_class"]]
            row += [printed["dcae"][0], printed[arguments.objective][0]]
        rows.append((result["normal_class"], row))
    rows.append(("**mean**", np.mean([row for _, row in rows], axis=0)))
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join([label, *(f"{value:.1f}" for value in row)]) + " |" for label, row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
