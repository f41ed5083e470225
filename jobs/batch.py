"""spark-submit jobs/batch.py: the same options as `movierate batch`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["batch", *sys.argv[1:]], profile="cluster")
