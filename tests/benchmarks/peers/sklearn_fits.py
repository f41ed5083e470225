"""One fit and a grid to Spark's objective in scikit-learn: sklearn_fits.py VECTORS.

Spark's objective is the mean log loss, plus half of the penalty times the squared coefficients of features
that are divided by their standard deviation. The grid starts each fit from that of the stronger penalty.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

PENALTIES, PENALTY = (0.03, 0.01, 0.003, 0.001, 0.0003), 0.001
# As many iterations as it takes to reach Spark's objective.
MAX_ITER, TOL = 1_000, 1e-4
FOLDS = (1, 2, 3)
SPARSE = 0
warnings.simplefilter("ignore", ConvergenceWarning)


def matrix(features) -> sp.csr_matrix:
    """Spark's vectors, of which some are dense and some sparse, as rows of a sparse matrix."""
    lists = [features.field(name) for name in ("indices", "values")]
    is_sparse = features.field("type").to_numpy(zero_copy_only=False) == SPARSE
    held = np.diff(lists[1].offsets.to_numpy())
    width = int(np.max(held[~is_sparse], initial=0)) or int(features.field("size")[0].as_py())
    ends = np.concatenate([[0], np.cumsum(held)])
    columns = np.arange(ends[-1]) - np.repeat(ends[:-1], held)
    columns[np.repeat(is_sparse, held)] = lists[0].flatten().to_numpy()
    values = lists[1].flatten().to_numpy().copy()  # Arrow's are read-only
    rows = sp.csr_matrix((values, columns, ends), shape=(len(held), width))
    rows.eliminate_zeros()
    return rows


def scaler_of(rows: sp.csr_matrix) -> Callable[[sp.csr_matrix], sp.csr_matrix]:
    """Divides each feature by its standard deviation in ``rows``, with n - 1 as Spark; not a constant one."""
    scaler, correction = StandardScaler(with_mean=False).fit(rows), np.sqrt(1 - 1 / rows.shape[0])
    return lambda some: scaler.transform(some) * correction


def regression(penalty: float, size: int, **options) -> LogisticRegression:
    return LogisticRegression(C=1 / (penalty * size), max_iter=MAX_ITER, tol=TOL, **options)


table = pq.read_table(sys.argv[1], columns=["features", "label", "fold_part"]).combine_chunks()
x, y = matrix(table["features"].chunk(0)), table["label"].to_numpy().astype(int)
part = table["fold_part"].to_numpy()
began = time.perf_counter()
scaled = scaler_of(x)(x)
model = regression(PENALTY, len(y)).fit(scaled, y)
fitted = time.perf_counter()
losses = np.zeros((len(FOLDS), len(PENALTIES)))
for place, fold in enumerate(FOLDS):
    past, unseen = part < fold, part == fold
    scaled_by = scaler_of(x[past])
    known, held_out = scaled_by(x[past]), scaled_by(x[unseen])
    chain = regression(PENALTIES[0], known.shape[0], warm_start=True)
    for column, penalty in enumerate(PENALTIES):
        chain.set_params(C=1 / (penalty * known.shape[0])).fit(known, y[past])
        losses[place, column] = log_loss(y[unseen], chain.predict_proba(held_out)[:, 1])
chosen = time.perf_counter()
loss = log_loss(y, model.predict_proba(scaled)[:, 1])
figures = {
    "fit, s": fitted - began,
    "objective": loss + PENALTY / 2 * float(np.sum(model.coef_**2)),
    "grid, s": chosen - fitted,
    "penalty": PENALTIES[int(np.argmin(losses.mean(axis=0)))],
}
print(json.dumps(figures))
