"""spark-submit jobs/score.py: the same options as `movierate score`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["score", *sys.argv[1:]], profile="cluster")
