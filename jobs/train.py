"""spark-submit jobs/train.py: the same options as `movierate train`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]], profile="cluster")
