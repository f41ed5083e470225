"""spark-submit jobs/runs.py: the same options as `movierate runs`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["runs", *sys.argv[1:]], profile="cluster")
