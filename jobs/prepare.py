"""spark-submit jobs/prepare.py: the same options as `movierate prepare`."""

import sys

from movierate_spark.cli import main

if __name__ == "__main__":
    main(["prepare", *sys.argv[1:]], profile="cluster")
