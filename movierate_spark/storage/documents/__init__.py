"""The JSON documents that runs write: ledger, bundle manifest, metrics and run record.

They are read and written through frozen models. To change a format, raise ``format_version``, and decide what
happens to documents that users already have (``tests/storage/examples``).
"""

from movierate_spark.storage.documents.document import (
    Document,
    Part,
    problem_with,
    read_document,
)
from movierate_spark.storage.documents.ledger import (
    DeliveryCounts,
    Ledger,
    StateEntry,
    StateSettings,
    TableCounts,
)
from movierate_spark.storage.documents.manifest import (
    Baseline,
    Calibration,
    Coefficient,
    LakeVersions,
    Manifest,
    PenaltyLoss,
    TrainingInterval,
)
from movierate_spark.storage.documents.metrics import (
    Ablation,
    ColdStart,
    Confusion,
    Figures,
    Interval,
    Measurement,
    Metrics,
    OtherModel,
)
from movierate_spark.storage.documents.run_record import (
    Outcome,
    RunRecord,
)

__all__ = [
    "Ablation",
    "Baseline",
    "Calibration",
    "Coefficient",
    "ColdStart",
    "Confusion",
    "DeliveryCounts",
    "Document",
    "Figures",
    "Interval",
    "LakeVersions",
    "Ledger",
    "Manifest",
    "Measurement",
    "Metrics",
    "OtherModel",
    "Outcome",
    "Part",
    "PenaltyLoss",
    "RunRecord",
    "StateEntry",
    "StateSettings",
    "TableCounts",
    "TrainingInterval",
    "problem_with",
    "read_document",
]
