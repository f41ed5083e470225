"""The textbook's columns, folds and grid in pandas and scikit-learn: pandas_sklearn.py FOLDER."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import KFold
from sklearn.preprocessing import OneHotEncoder

folder = sys.argv[1]


def read(name: str, *columns: str) -> pd.DataFrame:
    """The fields of a file; pandas has no quick reader for separators of two characters."""
    kept = range(0, 2 * len(columns), 2)
    rows = pd.read_csv(f"{folder}/{name}", sep=":", header=None, usecols=kept, dtype={8: str})
    return rows.set_axis(columns, axis=1)


lines = Path(folder, "movies.dat").read_text(encoding="iso-8859-1").splitlines()
fields = [line.split("::") for line in lines]
movies = pd.DataFrame(fields, columns=["movie_id", "title", "genres"]).astype({"movie_id": int})
rows = read("ratings.dat", "user_id", "movie_id", "rating", "second")
rows = rows.merge(read("users.dat", "user_id", "gender", "age", "occupation", "zip"), on="user_id")
rows = rows.merge(movies, on="movie_id")
at = pd.to_datetime(rows["second"], unit="s")
rows = rows.assign(hour=at.dt.hour, weekday=at.dt.dayofweek, month=at.dt.month)
categories = rows[["gender", "age", "occupation", "zip", "hour", "weekday", "month"]]
genres = sp.csr_matrix(rows["genres"].str.get_dummies("|").to_numpy(float))
x = sp.hstack([OneHotEncoder().fit_transform(categories), genres]).tocsr()
y = (rows["rating"] >= 4).to_numpy().astype(int)
is_test = np.random.default_rng(42).random(len(rows)) < 0.2
x_train, y_train, x_test, y_test = x[~is_test], y[~is_test], x[is_test], y[is_test]


def regression(penalty: float, l1_ratio: float, size: int) -> LogisticRegression:
    """Spark's objective: the mean loss, where scikit-learn takes the sum."""
    options = {"C": 1 / (penalty * size), "max_iter": 50}
    if l1_ratio:
        options |= {"solver": "saga", "l1_ratio": l1_ratio}
    return LogisticRegression(**options)


def score(penalty: float, l1_ratio: float) -> float:
    """The mean AUC over the folds."""
    aucs = []
    for fitted, held_out in KFold(3, shuffle=True, random_state=7).split(x_train):
        model = regression(penalty, l1_ratio, len(fitted)).fit(x_train[fitted], y_train[fitted])
        aucs.append(roc_auc_score(y_train[held_out], model.decision_function(x_train[held_out])))
    return float(np.mean(aucs))


best = max(((p, l1) for p in (0.0001, 0.001, 0.01) for l1 in (0.0, 0.5)), key=lambda tried: score(*tried))
model = regression(*best, len(y_train)).fit(x_train, y_train)
p_like = model.predict_proba(x_test)[:, 1]
print("auc", roc_auc_score(y_test, p_like))
for metric in (accuracy_score, precision_score, recall_score, f1_score):
    print(metric.__name__, metric(y_test, p_like > 0.5))
