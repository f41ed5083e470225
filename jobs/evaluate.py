"""spark-submit jobs/evaluate.py: the same options as `movierate evaluate`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]], profile="cluster")
